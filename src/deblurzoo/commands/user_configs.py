"""Checks of a user's config files: unreadable files, and content without effect."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from deblurzoo.commands.experiments import choice, load_experiment
from deblurzoo.commands.overrides import renamed
from deblurzoo.commands.settings import SHAPES
from deblurzoo.errors import DeblurzooError
from deblurzoo.files import conf_dir, is_folder, require_readable

log = logging.getLogger(__name__)

GLOBAL = "_global_"
_FIRST_LINE = f"its first line must be `# @package {GLOBAL}`"


def require_readable_configs(arguments: list[str]) -> None:
    """Raise a DeblurzooError if a file in a group of --config-dir is unreadable or uses a name of version 0.1."""
    for option, value in pairwise([*arguments, ""]):
        name, equals, joined = option.partition("=")
        folder = Path(joined if equals else value)
        if name not in ("--config-dir", "-cd"):
            continue
        if is_folder(folder):
            require_readable(folder)  # Hydra would ignore it
        for file in sorted(folder.glob("*/*.yaml")):
            words = list(filter(None, _top(file).lstrip("#").strip().split(" ")))
            with _reading(file):
                OmegaConf.load(file)
            for key, value in _words(file):
                if renaming := renamed(key, value):
                    raise DeblurzooError(f"{file}: {renaming[0]} is now {renaming[1]}: rename it in this file")
            if re.match(r"#\s*@", _top(file)) and len(words) != 2:
                raise DeblurzooError(
                    f"{file}: {_top(file)} has {len(words) - 1} words: {_FIRST_LINE}, without further words"
                )


def _words(file: Path) -> Iterator[tuple[str, str]]:
    """Yield (key, "") for each top-level key of a global config, and (group, choice) for each item of its defaults."""
    content: Any = _load(file)
    if not isinstance(content, dict):  # Hydra rejects it
        return
    if GLOBAL in _top(file):
        yield from ((str(key), "") for key in content)
    defaults = content.get("defaults")
    for item in defaults if isinstance(defaults, list) else ():
        for group, chosen in item.items() if isinstance(item, dict) else ():
            yield re.split(r"[ /]", str(group))[-1], str(chosen)


def require_effect(cfg: DictConfig) -> None:
    """Raise a DeblurzooError for an unknown top-level key; the message includes the user's file that sets the key."""
    content = OmegaConf.to_yaml(cfg)
    for key in sorted(map(str, cfg.keys() - _known_keys())):
        if re.search(rf"\$\{{(?!hydra:)[^}}]*\b{re.escape(key)}\b", content):  # a variable that the user defined
            continue
        lost = [(file, package) for file, package in _user_files() if package.partition(".")[0] == key]
        if lost:
            file, _ = max(lost, key=lambda one: _holds(cfg, *one))  # if several are wrong, the one in use
            raise DeblurzooError(f"{file} has no effect, since its content is placed under {key}: {_FIRST_LINE}")
        where = next((f"{file}: " for file, package in _user_files() if package == GLOBAL and key in _load(file)), "")
        raise DeblurzooError(f"{where}the key {key} is unknown: it must be one of {', '.join(sorted(_known_keys()))}")


def require_own_network() -> None:
    """Raise a DeblurzooError if an experiment that sets keys of its network is used with a different network."""
    choices = HydraConfig.get().runtime.choices
    experiment, model = str(choices["experiment"]), choices["model"]
    settings = load_experiment(experiment).get("model")
    if settings and (network := choice(experiment, "model")) != model:
        raise DeblurzooError(
            f"experiment={experiment} sets model.{next(iter(settings))} of model={network}: with model={model}, the "
            "run would have the name of a different network's ablation; omit experiment and set the keys that you need"
        )


def warn_of_shadowed_configs() -> None:
    """Warn about the user's files that have no effect, because Hydra first finds a shipped config of the same name."""
    shipped = conf_dir()
    for folder in user_folders():
        for file in sorted(folder.rglob("*.yaml")):
            if (shipped / file.relative_to(folder)).is_file():
                log.warning("%s has no effect: deblurzoo ships a config of the same name; rename your file", file)


def _known_keys() -> set[str]:
    """Return the top-level keys of the shipped configs, and the groups whose content is placed under their name."""
    verbs = {key for verb in SHAPES for key in _load(conf_dir() / f"{verb}.yaml")}
    groups = {file.parent.name for file in conf_dir().glob("*/*.yaml") if GLOBAL not in _top(file)}
    return (verbs | groups) - {"defaults", "hydra"}


def user_folders() -> list[Path]:
    """Return the folders of --config-dir and hydra.searchpath."""
    sources = HydraConfig.get().runtime.config_sources
    folders = [Path(source.path) for source in sources if source.schema == "file"]
    return [folder for folder in folders if folder != conf_dir()]


def _user_files() -> Iterator[tuple[Path, str]]:
    """Yield a user's files, and the key under which Hydra places the content of each."""
    for folder in user_folders():
        for file in sorted(folder.rglob("*.yaml")):
            header = re.fullmatch(r"#\s*@package +(\S+)", _top(file))
            yield file, header[1] if header else ".".join(file.relative_to(folder).parent.parts) or GLOBAL


def _holds(cfg: DictConfig, file: Path, package: str) -> bool:
    """Whether a config contains a file's content under a key."""
    there = OmegaConf.to_container(OmegaConf.create({"": OmegaConf.select(cfg, package)}))
    content = {key: value for key, value in _load(file).items() if key != "defaults"}
    return OmegaConf.to_container(OmegaConf.merge(there, {"": content})) == there


def _top(file: Path) -> str:
    """Return the first non-empty line, the only line in which Hydra looks for `@package`."""
    with _reading(file):
        return next((line.strip() for line in file.read_text().splitlines() if line.strip()), "")


def _load(file: Path) -> dict[str, Any]:
    with _reading(file):
        return yaml.safe_load(file.read_text()) or {}


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Raise a DeblurzooError if a config cannot be read."""
    try:
        yield
    except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException) as error:
        reason = " ".join(str(error).split())
        raise DeblurzooError(f"{file} cannot be read ({reason}): fix it or move it elsewhere") from error
