"""Functions shared by the Hydra commands: running a command as a Hydra program, and validating its config."""

import importlib.util
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from importlib import import_module
from typing import Any, TypeVar

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.errors import CompactHydraException, HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException, UnsupportedInterpolationType
from pydantic import ValidationError

from deblurzoo.commands.job_names import below_runs, without_fixed
from deblurzoo.commands.overrides import options_first, readable, require_options, require_plugins, starts_sweep
from deblurzoo.commands.settings import SHAPES
from deblurzoo.commands.user_configs import require_effect, require_readable_configs, warn_of_shadowed_configs
from deblurzoo.config import build
from deblurzoo.errors import DeblurzooError, escaped, first_line, let_go, require_utf8, system_errors
from deblurzoo.extensions import imported, trust
from deblurzoo.files import conf_dir, user_path
from deblurzoo.records import Record, first_problem
from deblurzoo.reports.run_folder import trial_id

log = logging.getLogger(__name__)

S = TypeVar("S", bound=Record)
T = TypeVar("T")

OmegaConf.register_new_resolver("home", lambda path: str(user_path(str(path))), replace=True)
"""Resolver `${home:PATH}`, which expands `~` in the folders that Hydra creates before it calls a command."""


def _caffe_l2(crop: int) -> float:
    return 3 * crop**2 / 2


OmegaConf.register_new_resolver("caffe_l2", _caffe_l2, replace=True)
"""Resolver `${caffe_l2:CROP}`: the weight of `mse` for which it equals Caffe's L2 loss of square RGB crops.

Caffe's loss is the sum over all values of a batch of squared errors, divided by twice the batch size.
"""


def _trial_folder() -> str:
    name = trial_id()
    return f"/{below_runs('WANDB_RUN_ID', name)}" if name else ""


OmegaConf.register_new_resolver("trial", _trial_folder, replace=True)
"""Resolver `${trial:}`: the folder of a trial of `wandb agent` below the folder of its name; "" without an agent."""


_GIVE = {
    "data.weights": "the weight of each data set, for example 'data.weights={photos: 0.65, gopro: 0.35}'",
    "data.blur": "data.blur=blur or data.blur=blur_gamma; or blur=blur for any data set, as recipes do",
    "data.gopro.blur": "blur=blur or blur=blur_gamma, as recipes do",
}
"""Remedies for mandatory keys that have no value, by key."""


def make(config: dict[str, Any], kind: Callable[..., T], place: str, **given: Any) -> T:
    """Return the object that the user's own config describes; any class is allowed, see `deblurzoo.config.build`."""
    return build(config, kind, place, imported, **given)


def run_verb(verb: str, arguments: list[str]) -> None:
    """Run a command as a Hydra program; the shipped config has the same name as the command.

    A DeblurzooError is printed as one message. An invalid config is reported before the command's module and torch are
    imported.

    Args:
        verb: name of a module of `deblurzoo.commands`, whose function `run` receives the composed config.
        arguments: the user's overrides, and Hydra's options.

    Raises:
        DeblurzooError: an argument or a user's config cannot be read.
    """
    for argument in arguments:
        require_utf8(argument)
    arguments = readable(arguments)
    require_readable_configs(arguments)
    require_plugins(arguments)
    if verb == "train" and starts_sweep(arguments):
        arguments += without_fixed(arguments)
    module = f"deblurzoo.commands.{verb}"
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None
    # Lightning starts additional processes by running __main__ with sys.argv: set __main__ to the command's module.
    sys.modules["__main__"].__spec__ = spec
    # --help composes the config, which in evaluate and data check requires a data set.
    ordered = options_first([*arguments, *(["data=toy"] if {"-h", "--help"} & set(arguments) else [])])
    require_options(ordered)
    sys.argv = [spec.origin, *ordered]

    def task(cfg: DictConfig) -> Any:
        with told_as_one_message(), chdir(HydraConfig.get().runtime.cwd):  # hydra.job.chdir would move relative paths
            require_log_formats()
            warn_of_shadowed_configs()
            require_effect(cfg)
            trust(OmegaConf.to_container(cfg).get("trust"))  # type: ignore[union-attr]
            trust(list(_own_packages(cfg)))
            if not is_sweep():  # in a sweep, the job checks its config and records failures
                require_settings(cfg, SHAPES[verb])
            return import_module(module).run(cfg)

    with _hydras_errors_as_one_message():
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=verb)(task)()


@contextmanager
def _hydras_errors_as_one_message() -> Iterator[None]:
    """Print only the message of errors that Hydra considers expected, and exit with 1.

    Hydra itself also prints the overrides and a hint at HYDRA_FULL_ERROR, unless this variable is set.
    """
    ours = "DEBLURZOO_HYDRA_FULL_ERROR"  # inherited, as HYDRA_FULL_ERROR, by processes of a training on several devices
    if "HYDRA_FULL_ERROR" in os.environ and ours not in os.environ:  # the user asks for the traceback
        yield
        return
    printed: property = vars(JobReturn)["return_value"]
    os.environ["HYDRA_FULL_ERROR"] = os.environ[ours] = "1"
    setattr(JobReturn, "return_value", property(_quietly(printed), printed.fset))  # noqa: B010 - mypy forbids an assignment
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:  # OmegaConf's: in Hydra's own config
        sys.exit(f"error: {escaped(_of_hydra(error).removeprefix('error: '))}")
    except Exception as error:
        if "configure_log" not in {frame.name for frame in traceback.extract_tb(error.__traceback__)}:
            raise
        reason = first_line(error) + (f" ({first_line(error.__cause__)})" if error.__cause__ else "")
        sys.exit(f"error: {escaped(reason)}: correct hydra.job_logging, hydra.hydra_logging and hydra.verbose")
    finally:
        setattr(JobReturn, "return_value", printed)  # noqa: B010
        for key in ("HYDRA_FULL_ERROR", ours):
            os.environ.pop(key, None)


def require_log_formats() -> None:
    """Raise a DeblurzooError for a log format that fails: the `logging` module would print a traceback per message."""
    record = log.makeRecord(log.name, logging.INFO, __file__, 1, "message", (), None)
    for handler in logging.getLogger().handlers:
        try:
            handler.format(record)
        except (LookupError, TypeError, ValueError) as error:
            reason = f"the log format fails ({type(error).__name__}: {first_line(error)})"
            raise DeblurzooError(f"{reason}: correct hydra.job_logging") from error


def _of_hydra(error: Exception) -> str:
    """Return the message of an error that Hydra or OmegaConf has raised, or of `told_as_one_message`."""
    if isinstance(error, OmegaConfBaseException):
        return _message(error)
    if isinstance(error.__cause__, OmegaConfBaseException) and not str(error).startswith("error: "):
        return f"{error}\n{first_line(error.__cause__)}"
    return str(error)


def _quietly(printed: property) -> Callable[[JobReturn], Any]:
    def return_value(job: JobReturn) -> Any:
        if isinstance(job._return_value, CompactHydraException):
            raise job._return_value
        assert printed.fget is not None
        return printed.fget(job)

    return return_value


@contextmanager
def told_as_one_message() -> Iterator[None]:
    """Convert errors that a user can fix to CompactHydraException, of which only the message is printed."""
    try:
        with system_errors():
            yield
    except SystemExit as stop:  # Lightning exits with code 0 on SIGTERM
        sys.exit(stop.code or 1)
    except Exception as error:
        expected, message = isinstance(error, DeblurzooError | OmegaConfBaseException), _message(error)
        if is_sweep():
            # A sweeper raises only the error of the first failed job, and only after all jobs: log each error here.
            log.error(f"error: {message}", exc_info=not expected)
            let_go(error)
        if not expected:
            raise
        raise CompactHydraException(f"error: {message}") from error


def require_settings(cfg: DictConfig, shape: type[Record]) -> None:
    """Raise a DeblurzooError for a value that is missing, of a wrong type or out of bounds.

    Two values may be missing, because the commands set them: the run id and, in `evaluate`, the blur folder.
    """
    blur = cfg.blur if "blur" in cfg else "blur"
    settled(cfg, shape, **blur_choices(cfg, blur), **({"run_id": ""} if "run_id" in cfg else {}))


def is_sweep() -> bool:
    """Whether this process runs jobs of a sweep."""
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def _own_packages(cfg: DictConfig) -> Iterator[str]:
    """Yield the external packages of the config's module, network and data set; the user trusts them by naming them."""
    for key in ("model", "model.net", "data", "against"):
        target = OmegaConf.select(cfg, f"{key}._target_")
        if isinstance(target, str) and (package := target.partition(".")[0]) not in ("deblurzoo", "torch"):
            yield package


def _message(error: Exception) -> str:
    """Return an error's message, without the traceback that torch adds to the message of a worker's error."""
    text = str(error)
    if isinstance(error, OmegaConfBaseException):  # whose further lines are types
        refers = isinstance(error, InterpolationResolutionError | UnsupportedInterpolationType)
        remedy = "correct the name in ${…}" if refers else "see conf/ or --help"
        return f"the config is invalid ({error.full_key}: {first_line(error)}): {remedy}"
    return text.rpartition("DeblurzooError: ")[2].strip() if text.startswith("Caught DeblurzooError") else text


def settled(cfg: DictConfig, shape: type[S], **decided: Any) -> S:
    """Return a composed config, validated and converted to `shape`; `cfg` is unchanged.

    Args:
        cfg: the config, with its interpolations.
        shape: the schema, see `deblurzoo.commands.settings`.
        decided: keys and values that are merged into the config before interpolations are resolved.

    Raises:
        DeblurzooError: a mandatory value is missing, or a value has a wrong type or is out of bounds.
    """
    try:
        return shape.model_validate(as_dicts(OmegaConf.merge(cfg, decided)))
    except ValidationError as error:
        raise DeblurzooError(f"the config is invalid ({first_problem(error)}): see conf/ or --help") from error


def as_dicts(cfg: Any) -> dict[str, Any]:
    """Return a config as nested dicts and lists, with interpolations resolved and `~` expanded.

    Raises:
        DeblurzooError: a mandatory key (`???`) has no value.
    """
    if missing := sorted(OmegaConf.missing_keys(cfg)):
        key = missing[0]
        given = _GIVE.get(key, f"{key}=VALUE on the command line or in the experiment")
        raise DeblurzooError(f"{key} is not set: give {given}")
    content: dict[str, Any] = _at_home(OmegaConf.to_container(cfg, resolve=True))
    return content


def _at_home(value: Any) -> Any:
    """Return a value with the leading `~` of each string expanded."""
    if isinstance(value, dict):
        return {key: _at_home(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_at_home(inner) for inner in value]
    return str(user_path(value)) if isinstance(value, str) and value.startswith("~") else value


def blur_choice(data: DictConfig, blur: str | None) -> dict[str, Any]:
    """Return the config update that sets missing blur folders of a data set and of its parts to `blur`."""
    if not blur:
        return {}
    parts = (key for key in data if not OmegaConf.is_missing(data, key) and isinstance(data[key], DictConfig))
    chosen: dict[str, Any] = {str(key): {"blur": blur} for key in parts if OmegaConf.is_missing(data[key], "blur")}
    return chosen | ({"blur": blur} if OmegaConf.is_missing(data, "blur") else {})


def blur_choices(cfg: DictConfig, blur: str | None) -> dict[str, dict[str, Any]]:
    """Return the config updates that set the missing blur folders of all data sets of a command to `blur`."""
    return {key: blur_choice(cfg[key], blur) for key in ("data", "against") if isinstance(cfg.get(key), DictConfig)}


def quiet_lightning() -> None:
    """Suppress misleading messages of Lightning. In all processes except the first, log only errors."""
    from pytorch_lightning.utilities import rank_zero_only  # deferred: some commands do not need Lightning

    if getattr(rank_zero_only, "rank", 0):
        logging.getLogger().setLevel(logging.ERROR)
    for framework in ("pytorch_lightning", "lightning_fabric.utilities.distributed"):
        logging.getLogger(framework).setLevel(logging.WARNING)
    # Lightning does not know that our sampler continues at the resumed step.
    warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before the epoch ended")
    warnings.filterwarnings("ignore", ".*does not have many workers")
    warnings.filterwarnings("ignore", "The number of training batches")
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.")
    warnings.filterwarnings("ignore", "It is recommended to use .*sync_dist=True")  # torchmetrics synchronises metrics
    warnings.filterwarnings("ignore", "The `srun` command is available")  # training works without srun as well
