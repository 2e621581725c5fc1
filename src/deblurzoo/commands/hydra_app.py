"""What the Hydra entry points share: composing, building objects from configs, and clear errors."""

import functools
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException, InstantiationException
from hydra.types import RunMode
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning.utilities import rank_zero_only

from deblurzoo.commands.user_configs import require_effect, warn_of_shadowed_configs
from deblurzoo.config import require_types
from deblurzoo.errors import DeblurzooError, first_line
from deblurzoo.extensions import trust
from deblurzoo.files import conf_dir, user_path
from deblurzoo.ops.spatial_rnn import VARIABLE, check_variable
from deblurzoo.records import Record, checked

log = logging.getLogger(__name__)

Task = Callable[[DictConfig], Any]

OmegaConf.register_new_resolver("home", lambda path: str(user_path(str(path))), replace=True)
"""`${home:PATH}`, for folders that Hydra makes before a task has the config."""


def hydra_main(config_name: str) -> Callable[[Task], Callable[[], None]]:
    """Make a task a Hydra program of the shipped configs that reports a DeblurzooError as one message.

    Hydra prints a CompactHydraException without a traceback unless HYDRA_FULL_ERROR=1, and exits with 1.
    """

    def decorate(task: Task) -> Callable[[], None]:
        @functools.wraps(task)
        def checked(cfg: DictConfig) -> Any:
            try:
                warn_of_shadowed_configs()
                require_effect(cfg)
                _settle_paths(cfg)
                trust(OmegaConf.to_container(cfg).get("trust"))  # type: ignore[union-attr]
                trust(list(_own_packages(cfg)))
                _require_backend()
                return task(cfg)
            except SystemExit as stop:  # Lightning's on SIGTERM has exit code 0
                sys.exit(stop.code or 1)
            except Exception as error:
                expected, message = isinstance(error, DeblurzooError | OmegaConfBaseException), _message(error)
                if HydraConfig.get().mode == RunMode.MULTIRUN:
                    # Sweepers raise the first job's error alone, after all jobs, or none.
                    log.error(f"error: {message}", exc_info=not expected)
                    _let_go(error)
                if not expected:
                    raise
                raise CompactHydraException(f"error: {message}") from error

        program: Callable[[], None] = hydra.main(
            version_base="1.3", config_path=str(conf_dir()), config_name=config_name
        )(checked)
        return program

    return decorate


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


def _settle_paths(cfg: DictConfig) -> None:
    """Make text of paths that Hydra takes for numbers, and put the home folder in the place of `~`."""
    for key in ("checkpoint", "out", "resume"):
        if isinstance(cfg.get(key), int | float):
            cfg[key] = str(cfg[key])
    _put_home(cfg, OmegaConf.to_container(cfg))


def _put_home(cfg: Any, content: Any) -> None:
    """Put the home folder in the place of the `~` that a value of a config begins with.

    Args:
        cfg: a config, or a part of it.
        content: the same as plain dicts and lists, interpolations as they are written.
    """
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        if isinstance(value, dict | list):
            _put_home(cfg[key], value)
        elif isinstance(value, str) and value.startswith("~"):
            cfg[key] = str(user_path(value))


def _message(error: Exception) -> str:
    """Return the message alone: a data-loader worker's exception arrives with its traceback as text."""
    text = str(error)
    if isinstance(error, OmegaConfBaseException):
        return f"the config is wrong: {' '.join(text.split())}"
    return text.rpartition("DeblurzooError: ")[2].strip() if text.startswith("Caught DeblurzooError") else text


def _require_backend() -> None:
    try:
        check_variable()
    except (ValueError, ImportError) as error:
        raise DeblurzooError(f"{VARIABLE}={os.environ[VARIABLE]}: {error}") from error


def build(cfg: DictConfig, recursive: bool = True, **arguments: Any) -> Any:
    """Instantiate the `_target_` of a config that Hydra composed, with plain dicts and lists for everything nested.

    It may name any class, also a user's. What a file says is built by `deblurzoo.config.rebuild` instead.

    Args:
        cfg: a part of the composed config.
        recursive: whether what has a `_target_` inside it is built before; else it stays a plain dict.
        arguments: more keyword arguments.

    Raises:
        DeblurzooError: a mandatory value is missing, the object refuses its arguments, or `cfg` is a plain dict.
    """
    if not isinstance(cfg, DictConfig):
        raise DeblurzooError("build calls whatever is named: use deblurzoo.config.rebuild for what a file says")
    require_values(cfg)
    _require_types(plain(cfg), recursive, str(cfg._get_full_key(None)))
    try:
        return hydra.utils.instantiate(cfg, _convert_="all", _recursive_=recursive, **arguments)
    except InstantiationException as error:
        if isinstance(error.__cause__, DeblurzooError):
            raise error.__cause__ from error
        reason = first_line(error.__cause__ or error)  # of what it builds, or of Hydra
        raise DeblurzooError(f"{cfg.get('_target_', 'the config')}: {reason}") from error


def _require_types(config: dict[str, Any], recursive: bool, place: str) -> None:
    """Raise a DeblurzooError if an argument for one of our classes or functions has another type than it declares."""
    target = str(config["_target_"])
    parts = {key: value for key, value in config.items() if isinstance(value, dict) and "_target_" in value}
    for key, part in parts.items() if recursive else ():
        _require_types(part, recursive, f"{place}.{key}")
    with suppress(ImportError):  # which Hydra tells in its own words
        if target.startswith("deblurzoo."):
            built = {"_target_", *(parts if recursive else ())}
            try:
                require_types(get_object(target), {key: config[key] for key in config if key not in built})
            except ValueError as error:
                raise DeblurzooError(f"{place}.{error}" if place else str(error)) from error


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Return a config as nested plain dicts and lists."""
    content: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    return content


def choose_blur(data: DictConfig, blur: str | None) -> bool:
    """Choose GOPRO's blur folder where the config of a data set, or of its part `gopro`, leaves that open.

    Returns:
        Whether anything was open.
    """
    chosen = False
    for part in (data, data.get("gopro")):
        if blur and part is not None and OmegaConf.is_missing(part, "blur"):
            part.blur, chosen = blur, True
    return chosen


def require_shape(cfg: DictConfig, shape: type[Record]) -> None:
    """Raise a DeblurzooError that names the first part of a config that is no config, or lacks its `_target_`."""
    try:
        checked(plain(cfg), shape)
    except ValueError as error:
        raise DeblurzooError(f"the config is wrong ({error}): look at conf/, or at --help") from error


def require_values(cfg: DictConfig) -> None:
    """Raise if a key of `cfg` still is `???`."""
    if missing := sorted(OmegaConf.missing_keys(cfg)):
        raise DeblurzooError(
            f"{missing[0]} is not set: give {missing[0]}=VALUE on the command line or in the experiment"
        )


def quiet_lightning() -> None:
    """Silence what Lightning says that is wrong or of no use here, and all processes of a run but the first."""
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
