"""Jobs of a sweep: the sweeper that records them, and their folders, named by the overrides that the sweep varies."""

import hashlib
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from hydra._internal.core_plugins.basic_sweeper import BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from omegaconf import DictConfig, OmegaConf

from deblurzoo.commands.overrides import parsed
from deblurzoo.errors import DeblurzooError, escaped, is_one_line
from deblurzoo.files import LONGEST, require_output


@dataclass
class GridConfig(BasicSweeperConf):
    """The config of Hydra's usual sweeper, with a class that records all jobs before the first one."""

    _target_: str = "hydra_plugins.deblurzoo_grid.Grid"


Plugins.instance()  # registers Hydra's sweepers, of which the next line replaces one
ConfigStore.instance().store(group="hydra/sweeper", name="basic", node=GridConfig, provider="deblurzoo")

LENGTH = 100
"""Largest number of bytes of a folder name, and so of characters."""
_EXCLUDED = "hydra.job.config.override_dirname.exclude_keys"
_EARLIER = (
    *("experiment", "name", "resume", "trainer", "preset", "debug", "trust", "logger"),
    *("data.root", "data.gopro.root", "data.dvd.root", "data.packed", "data.gopro.packed", "data.dvd.packed"),
    *("model.vgg16", "paths.runs", "paths.data"),
)
"""Keys that were not part of folder names when these were made of all overrides."""


def without_fixed(arguments: Sequence[str]) -> list[str]:
    """Return the overrides by which the folders of a sweep's jobs are named without the keys that have one value.

    An experiment that is swept is part of a name only if `name` is fixed; otherwise the experiments set the name. The
    only job of a sweep is named by all overrides, so that a later sweep over several values finds the job.
    """
    if any(argument.startswith(_EXCLUDED) for argument in arguments):
        return []
    overrides = [override for override in map(parsed, arguments) if override]
    searched = any(argument.startswith("hydra/sweeper") for argument in arguments)
    if not searched and not any(override.is_sweep_override() for override in overrides):
        return [f"{_EXCLUDED}=[{','.join(_EARLIER)}]"]
    fixed = {str(override.key_or_group) for override in overrides if not override.is_sweep_override()}
    naming = {"name"} if "name" in fixed else {"name", "experiment"}
    excluded = sorted(naming | {key for key in fixed if not key.startswith("hydra")})
    return [f"{_EXCLUDED}=[{','.join(excluded)}]"]


def below_runs(key: str, name: object) -> str:
    """Return a name of a folder below `paths.runs`; for another name, print a message and exit.

    Hydra creates the folder before it calls a command, and would print a traceback of any error.
    """
    path = PurePath(str(name))
    parts = path.parts
    is_text = is_one_line(str(name)) and all(part.strip() for part in parts)  # for tables
    is_inside = not path.is_absolute() and ".." not in parts
    if not parts or not is_text or not is_inside or max(len(os.fsencode(part)) for part in parts) > LONGEST:
        sys.exit(
            f"error: {key}={escaped(str(name))} is not the name of a folder below paths.runs: give a name in one line, "
            f"without .., with at most {LONGEST} bytes between slashes"
        )
    return str(name)


OmegaConf.register_new_resolver("below_runs", below_runs, replace=True)
"""Resolver `${below_runs:KEY,NAME}` for the folders that Hydra creates."""


def writable(folder: str) -> str:
    """Return a folder that Hydra creates before it calls a command; if it cannot be written, print a message and exit.

    Hydra would print a traceback.
    """
    try:
        require_output(Path(folder), f"the run folder {folder}")
    except DeblurzooError as error:
        sys.exit(f"error: {error}, for example by paths.runs=FOLDER")
    return folder


OmegaConf.register_new_resolver("writable", writable, replace=True)
"""Resolver `${writable:FOLDER}` for the folders that Hydra creates."""


def job_folder(*, _root_: DictConfig) -> str:
    """Return the folder of a job below `hydra.sweep.dir`.

    If the folder exists under a name made of all overrides, as of the only job of a sweep or of earlier versions, that
    name is returned.
    """
    job = [override for override in map(parsed, _root_.hydra.overrides.task) if override]
    by_all, name = _lines(job, _EARLIER), below_runs("name", _root_.name)
    for earlier in ("+".join(line.replace("=", "-") for line in by_all), folder_name(by_all)):
        if os.path.isdir(Path(_root_.hydra.sweep.dir, name, earlier)):  # noqa: PTH112  # False also for too long a name
            return str(Path(name, earlier))
    return str(Path(name, folder_name(_lines(job, _root_.hydra.job.config.override_dirname.exclude_keys))))


OmegaConf.register_new_resolver("job_folder", job_folder, replace=True)
"""Resolver `${job_folder:}` for `hydra.sweep.subdir`."""


def folder_name(overrides: Sequence[str]) -> str:
    """Return overrides as a folder name of at most `LENGTH` characters, without slashes, quotes, brackets and spaces.

    If characters of the overrides are left out, the name ends with a hash of all overrides, which keeps it unique.
    """
    text = "+".join(override.replace("=", "-") for override in overrides)
    name = _plain(text)
    if name == text and len(name.encode()) <= LENGTH:
        return name
    digest = hashlib.sha256("+".join(overrides).encode(errors="surrogateescape")).hexdigest()[:8]
    room = LENGTH - len(digest) - 1
    if len(name.encode()) > room:
        name = "+".join(map(_shortened, overrides))
    return f"{name.encode()[:room].decode(errors='ignore')}-{digest}"


def _lines(overrides: Sequence[Override], excluded: Sequence[str]) -> list[str]:
    """Return the sorted overrides whose key is not excluded."""
    return sorted(str(override.input_line) for override in overrides if override.key_or_group not in excluded)


def _shortened(override: str) -> str:
    """Return an override with the last part of its key, and the end of its value."""
    key, _, value = override.partition("=")
    return f"{_plain(key.rpartition('.')[2])}-{_plain(value)[-30:]}"


def _plain(text: str) -> str:
    """Return text in which characters that are not usual in names are replaced by `_`."""
    return re.sub(r"[^\w.+=-]+", "_", text).encode(errors="replace").decode()
