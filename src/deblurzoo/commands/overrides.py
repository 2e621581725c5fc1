"""Preparation of the Hydra commands' arguments: expand `~`, and quote text that Hydra cannot parse otherwise."""

import re
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, QuotedString
from hydra.errors import HydraException

from deblurzoo.errors import DeblurzooError
from deblurzoo.files import conf_dir, user_path
from deblurzoo.records import quoted, shown

RENAMED = {
    "ckpt": "checkpoint",
    "loader": "datamodule",
    "trainer=smoke": "debug=smoke",
    "size=smoke": "debug=smoke",
    "preset=none": "preset=null",
}
"""Keys and overrides of version 0.1, and their replacements."""

_HOME = re.compile(r"""((?:^|[,\[({]|: )["']?)(~[\w.-]*)(?=[/,\])}"']|$)""")
"""Pattern of `~` or `~USER` at the start of a value or of an item of a list or sweep, after an optional quote."""
_ITEM = re.compile(r"""[^\s\[\]{}(),:"'][^\[\]{}(),:"']*""")
"""Pattern of an item of a list, sweep or dict."""
_UNQUOTED = re.compile(r"[A-Za-z0-9_/\\\-+.$%*@?|: ]")
"""Pattern of a character that Hydra accepts without quotes."""
_GRAMMAR = set(",[]{}()\"'\\")
"""Characters of Hydra's grammar. An invalid value that contains them may be meant as a list, dict or sweep."""
_SWEEP = ("-m", "--multirun")
_FLAGS = (*_SWEEP, "-h", "--help", "--hydra-help", "--version", "-r", "--run", "--resolve")
"""Hydra's options that take no value."""
_INFO = ("-i", "--info")
"""Hydra's option with an optional value."""
_JOBLIB, _SUBMITIT, _OPTUNA = "hydra_joblib_launcher", "hydra_submitit_launcher", "hydra_optuna_sweeper"
_PLUGINS = {
    "hydra/launcher=joblib": _JOBLIB,
    **{f"hydra/launcher={name}": _SUBMITIT for name in ("slurm", "submitit_slurm", "submitit_local")},
    **{f"hydra/sweeper={name}": _OPTUNA for name in ("search", "optuna")},
}
"""Packages of Hydra's plugins, by the override that chooses a plugin."""


def readable(arguments: list[str]) -> list[str]:
    """Return the arguments with `~` expanded, and with quotes around values that can only be text.

    Raises:
        DeblurzooError: an argument is not an override, or its value needs quotes; the message contains the remedy.
    """
    return list(_readable(arguments, starts_sweep(arguments)))


def starts_sweep(arguments: list[str]) -> bool:
    """Whether the arguments start a sweep."""
    return any(argument in _SWEEP or argument.startswith("hydra.mode=") for argument in arguments)


def require_options(arguments: list[str]) -> None:
    """Raise a DeblurzooError for options of Hydra in combinations for which Hydra prints a traceback."""
    options = get_args_parser().parse_args(arguments)
    if options.experimental_rerun is not None:  # Hydra would unpickle the file, which can run any code
        raise DeblurzooError("--experimental-rerun is not supported: give the overrides of the run again")
    modes = [("--run", options.run), ("-m", options.multirun), ("--cfg", options.cfg), ("--info", options.info)]
    if len(several := [name for name, value in modes if value]) > 1 and not (options.help or options.hydra_help):
        raise DeblurzooError(f"{' and '.join(several)} exclude each other: give one of them")
    if options.resolve and not (options.cfg or options.help):
        raise DeblurzooError("--resolve has no effect without --cfg: add --cfg job, or omit it")


def require_plugins(arguments: list[str]) -> None:
    """Raise a DeblurzooError if an argument chooses a launcher or sweeper whose package is not installed."""
    for argument in arguments:
        package = _PLUGINS.get(argument)
        if package and find_spec(f"hydra_plugins.{package}") is None:
            raise DeblurzooError(f"{argument} requires a package that is not installed: pip install 'deblurzoo[sweep]'")


def renamed(key: str, value: str) -> tuple[str, str] | None:
    """Return the old and the new name if version 0.1 used the top-level key or `key=value`; otherwise None."""
    top = re.match(r"[+~]*(\w*)", key)[1]  # type: ignore[index]
    return next(((word, RENAMED[word]) for word in (f"{top}={value}", top) if word in RENAMED), None)


def parsed(override: str) -> Override | None:
    """Return the override as Hydra reads it, or None if its grammar rejects it."""
    try:
        return OverridesParser.create().parse_override(override)
    except HydraException:
        return None


def _readable(arguments: list[str], sweep: bool) -> Iterator[str]:
    for argument, is_option in _kinds(arguments):
        option, equals, value = argument.partition("=") if argument.startswith("-") else ("", "", argument)
        yield option + equals + _at_home(value) if is_option else _override(argument, sweep)


def _kinds(arguments: list[str]) -> Iterator[tuple[str, bool]]:
    """Yield each argument except `--`, and whether it is an option or the value of an option."""
    is_value = False
    for argument, following in pairwise([*arguments, "="]):
        is_option = argument.startswith("-")
        if argument != "--":
            yield argument, is_option or is_value
        is_value = is_option and "=" not in argument and argument not in ("--", *_FLAGS)
        is_value = is_value and not (argument in _INFO and "=" in following)


def options_first(arguments: list[str]) -> list[str]:
    """Return the options, `--` and the overrides: after an option between overrides, Hydra rejects further overrides.

    Launchers of processes append overrides.
    """
    kinds = list(_kinds(arguments))
    options, overrides = ([argument for argument, is_option in kinds if is_option is kind] for kind in (True, False))
    return [*options, "--", *overrides] if options and overrides else options + overrides


def _at_home(text: str) -> str:
    return _HOME.sub(lambda match: f"{match[1]}{user_path(match[2])}", text)


def _override(argument: str, sweep: bool) -> str:
    """Return the override, quoted if Hydra's grammar requires quotes."""
    key, equals, value = argument.partition("=")
    if words := renamed(key, value):
        raise DeblurzooError(f"{words[0]} is now {words[1]}: type {shlex.quote(argument.replace(*words, 1))}")
    home = _at_home(value)
    read = parsed(key + equals + home)
    if read and equals and _is_group(read):
        if read.value() is None:
            return f"~{key.lstrip('~')}"
        home = _names(argument, home, read)
    if read and (sweep or not read.is_sweep_override()):
        return key + equals + home
    if (not read and not _GRAMMAR & set(value)) or (value.startswith("~") and not sweep):
        as_text = f"{key}={quoted(home)}"
        if equals and parsed(as_text):
            return as_text
    raise DeblurzooError(_problem(argument, sweep))


def _is_group(override: Override) -> bool:
    """Whether an override chooses or deletes a config of a group, such as `model=srn`; only groups contain `/`."""
    return "/" in override.key_or_group or (conf_dir() / override.key_or_group).is_dir()


def _names(argument: str, value: str, override: Override) -> str:
    """Return the names of configs of a group, quoted if Hydra would read one of them as a number or bool."""
    for spelled in (value, _ITEM.sub(lambda item: quoted(item[0]), value)):
        read = parsed(f"x={spelled}")
        names = read.value() if read else None
        if _is_text(names) and not (override.is_delete() and isinstance(names, list)):
            return spelled
        if isinstance(names, ChoiceSweep) and None in names.list:
            raise DeblurzooError(f"{argument}: a sweep over a group of configs cannot contain null: run it alone")
    raise DeblurzooError(f"{argument}: {override.key_or_group} is a group of configs: give the name of a config")


def _is_text(value: Any) -> bool:
    """Whether a value of an override is text, or if it is a list or a sweep, all its items are."""
    if isinstance(value, ChoiceSweep | list):
        return all(map(_is_text, value if isinstance(value, list) else value.list))
    return isinstance(value, str | QuotedString | Glob)


def _problem(argument: str, sweep: bool) -> str:
    """Return the error message for an invalid override or one with several values, including a corrected override."""
    key, equals, value = argument.partition("=")
    if not parsed(f"{key}=x"):
        return f"{argument} cannot be read: {key} is not a key; --help lists the keys"
    if not equals:
        return f"{argument} is not an override: type {key}=VALUE"
    spelled = _spelled(value, sweep)
    typed = shlex.quote(f"{key}={spelled}")
    if parsed(argument):
        alone = "" if "(" in value else f"; for a single text, type {typed}; for a list, type '{key}=[{value}]'"
        return f"{argument} has several values: for one run per value, add -m{alone}"
    signs = [
        sign for sign in dict.fromkeys(_UNQUOTED.sub("", value)) if spelled == quoted(value) or sign not in _GRAMMAR
    ]
    reason = f"{' '.join(map(repr, signs))} need quotes" if signs else "a quote is not closed"
    return f"{argument} cannot be read: {reason}; type {typed}"


def _spelled(value: str, sweep: bool) -> str:
    """Return a value with the quotes that Hydra requires: around items of a list, or around the whole value."""
    if value[0] in "[{" or (sweep and "," in value):
        items = _ITEM.sub(lambda item: item[0] if parsed(f"x={item[0]}") else quoted(item[0]), value)
        if parsed(f"x={items}"):
            return items
    return quoted(value.strip(value[0]) if value[0] in "\"'" else value)


def override(key: str, value: Any) -> str:
    """Return the override that sets a key to null, a bool, a number, text or a list of them."""
    return f"{key}={_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_value, value))}]"
    return quoted(value) if isinstance(value, str) else shown(value)
