"""Shared by the Hydra verbs: the program around a task, and its config as a value."""

import importlib.util
import logging
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeVar

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from deblurzoo.commands.overrides import readable
from deblurzoo.commands.settings import SHAPES
from deblurzoo.commands.user_configs import require_effect, require_readable_configs, warn_of_shadowed_configs
from deblurzoo.config import build
from deblurzoo.errors import DeblurzooError, require_utf8
from deblurzoo.extensions import imported, trust
from deblurzoo.files import conf_dir, user_path
from deblurzoo.records import Record, first_problem

log = logging.getLogger(__name__)

S = TypeVar("S", bound=Record)
T = TypeVar("T")

OmegaConf.register_new_resolver("home", lambda path: str(user_path(str(path))), replace=True)
"""`${home:PATH}`, for folders that Hydra makes before a task has the config."""


_GIVE = {
    "checkpoint": "checkpoint=RUN_FOLDER, checkpoint=FILE.ckpt or checkpoint=EXPORT_FOLDER",
    "data.blur": "data.blur=blur, or data.blur=blur_gamma; blur=blur gives it to any data, as recipes do",
}
"""Words to type for a key that has no value."""


def make(config: dict[str, Any], kind: Callable[..., T], place: str, **given: Any) -> T:
    """Build what the user's own config names, which may be any class; see `deblurzoo.config.build`."""
    return build(config, kind, place, imported, **given)


def run_verb(verb: str, arguments: list[str]) -> None:
    """Run a verb as a Hydra program of the shipped config of its name; a DeblurzooError is reported as one message.

    A wrong config is told before the verb's module is imported, and torch with it.

    Args:
        verb: a module of `deblurzoo.commands` with a function `run` of the composed config.
        arguments: overrides and Hydra's options, as a user types them.

    Raises:
        DeblurzooError: an argument cannot be read, or a config of the user's own.
    """
    for argument in arguments:
        require_utf8(argument)
    arguments = readable(arguments)
    require_readable_configs(arguments)
    module = f"deblurzoo.commands.{verb}"
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None
    # Lightning starts its other processes by running __main__ again with sys.argv: this verb's own module.
    sys.modules["__main__"].__spec__ = spec
    # Hydra's parser takes no override after -m that follows another override: -m goes first.
    ordered = sorted(arguments, key=lambda argument: argument not in ("-m", "--multirun"))
    # Hydra's help composes the config, for which evaluate and data check need some data.
    sys.argv = [spec.origin, *ordered, *(["data=toy"] if "--help" in arguments else [])]

    def task(cfg: DictConfig) -> Any:
        with told_as_one_message():
            warn_of_shadowed_configs()
            require_effect(cfg)
            trust(OmegaConf.to_container(cfg).get("trust"))  # type: ignore[union-attr]
            trust(list(_own_packages(cfg)))
            if not is_sweep():  # a job's failure is put down in its folder, by the verb
                require_settings(cfg, SHAPES[verb])
            return import_module(module).run(cfg)

    hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=verb)(task)()


@contextmanager
def told_as_one_message() -> Iterator[None]:
    """Raise what a user can mend as a CompactHydraException, of which Hydra prints the text alone, and exits with 1."""
    try:
        yield
    except SystemExit as stop:  # Lightning's on SIGTERM has exit code 0
        sys.exit(stop.code or 1)
    except Exception as error:
        expected, message = isinstance(error, DeblurzooError | OmegaConfBaseException), _message(error)
        if is_sweep():
            # Sweepers raise the first job's error alone, after all jobs, or none.
            log.error(f"error: {message}", exc_info=not expected)
            _let_go(error)
        if not expected:
            raise
        raise CompactHydraException(f"error: {message}") from error


def require_settings(cfg: DictConfig, shape: type[Record]) -> None:
    """Raise a DeblurzooError for a value that is missing, of another type or out of its bounds.

    The run's id may be open, as may the blur folder that `evaluate` takes from a checkpoint: verbs put them in.
    """
    blur = cfg.blur if "blur" in cfg else "blur"
    settled(cfg, shape, data=blur_choice(cfg.data, blur), **({"run_id": ""} if "run_id" in cfg else {}))


def is_sweep() -> bool:
    """Whether this process runs jobs of a sweep."""
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def _own_packages(cfg: DictConfig) -> Iterator[str]:
    """Yield the packages of the module, network and data set that the user's own config names."""
    for key in ("model", "model.net", "data"):
        target = OmegaConf.select(cfg, f"{key}._target_")
        if isinstance(target, str) and (package := target.partition(".")[0]) not in ("deblurzoo", "torch"):
            yield package


def _let_go(error: BaseException | None) -> None:
    """Free what the frames of an error hold, such as batches on a GPU: the next job of a sweep needs the memory."""
    chain: list[BaseException] = []
    while error and error not in chain:
        traceback.clear_frames(error.__traceback__)
        chain.append(error)
        error = error.__cause__ or error.__context__


def _message(error: Exception) -> str:
    """Return the message alone: a data-loader worker's exception arrives with its traceback as text."""
    text = str(error)
    if isinstance(error, OmegaConfBaseException):
        return f"the config is wrong: {' '.join(text.split())}"
    return text.rpartition("DeblurzooError: ")[2].strip() if text.startswith("Caught DeblurzooError") else text


def settled(cfg: DictConfig, shape: type[S], **decided: Any) -> S:
    """Return a composed config as a value of its shape; `cfg` stays as it is.

    Args:
        cfg: the config, with its interpolations.
        shape: see `deblurzoo.commands.settings`.
        decided: keys and values that are put in before it is resolved.

    Raises:
        DeblurzooError: a mandatory value is missing, or a value is of another type or out of its bounds.
    """
    try:
        return shape.model_validate(as_dicts(OmegaConf.merge(cfg, decided)))
    except ValidationError as error:
        raise DeblurzooError(f"the config is wrong ({first_problem(error)}): look at conf/, or at --help") from error


def as_dicts(cfg: Any) -> dict[str, Any]:
    """Return a config as nested plain dicts and lists, resolved, with the home folder in the place of `~`.

    Raises:
        DeblurzooError: a key still is `???`.
    """
    if missing := sorted(OmegaConf.missing_keys(cfg)):
        key = missing[0]
        given = _GIVE.get(key, f"{key}=VALUE on the command line or in the experiment")
        raise DeblurzooError(f"{key} is not set: give {given}")
    content: dict[str, Any] = _at_home(OmegaConf.to_container(cfg, resolve=True))
    return content


def _at_home(value: Any) -> Any:
    """Return a value with the home folder for the `~` that a text in it begins with."""
    if isinstance(value, dict):
        return {key: _at_home(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_at_home(inner) for inner in value]
    return str(user_path(value)) if isinstance(value, str) and value.startswith("~") else value


def blur_choice(data: DictConfig, blur: str | None) -> dict[str, Any]:
    """Return what to merge into a data set's config for GOPRO's blur folder where it, or a part of it, says none."""
    if not blur:
        return {}
    parts = (key for key in data if not OmegaConf.is_missing(data, key) and isinstance(data[key], DictConfig))
    chosen: dict[str, Any] = {str(key): {"blur": blur} for key in parts if OmegaConf.is_missing(data[key], "blur")}
    return chosen | ({"blur": blur} if OmegaConf.is_missing(data, "blur") else {})


def quiet_lightning() -> None:
    """Silence what Lightning says that is wrong or of no use here, and all processes of a run but the first."""
    from pytorch_lightning.utilities import rank_zero_only  # the verbs that need no Lightning start without it

    if getattr(rank_zero_only, "rank", 0):
        logging.getLogger().setLevel(logging.ERROR)
    for framework in ("pytorch_lightning", "lightning_fabric.utilities.distributed"):
        logging.getLogger(framework).setLevel(logging.WARNING)
    # Our sampler starts at the step that training resumes at, which Lightning cannot know.
    warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before the epoch ended")
    warnings.filterwarnings("ignore", ".*does not have many workers")
    warnings.filterwarnings("ignore", "The number of training batches")
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.")
    warnings.filterwarnings("ignore", "It is recommended to use .*sync_dist=True")  # torchmetrics has summed up already
    warnings.filterwarnings("ignore", "The `srun` command is available")  # many train on a Slurm machine without it
