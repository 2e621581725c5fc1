"""The arguments of a Hydra verb as a user types them: `~` is the home folder, and text may need no quotes."""

import re
import shlex
from collections.abc import Iterator

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from deblurzoo.errors import DeblurzooError
from deblurzoo.files import user_path

RENAMED = {
    "ckpt": "checkpoint",
    "loader": "datamodule",
    "trainer=smoke": "debug=smoke",
    "size=smoke": "debug=smoke",
    "preset=none": "preset=null",
}
"""Words of version 0.1, and the words in their places."""

_HOME = re.compile(r"""((?:^|[,\[({]|: )["']?)(~[\w.-]*)(?=[/,\])}"']|$)""")
"""`~` or `~USER` where a path begins: in a value, an item of a list, or an item of a sweep, with a quote or none."""
_ITEM = re.compile(r"""[^\s\[\]{}(),:"'][^\[\]{}(),:"']*""")
"""An item of a list, a sweep or a dict."""
_UNQUOTED = re.compile(r"[A-Za-z0-9_/\\\-+.$%*@?|: ]")
"""The characters that text may have without quotes."""
_GRAMMAR = set(",[]{}()\"'\\")
"""With one of these, a value that cannot be read may be meant as more than text."""
_SWEEP = ("-m", "--multirun")
_FLAGS = (*_SWEEP, "-h", "--help", "--hydra-help", "--version", "-r", "--run", "--resolve")
"""Hydra's options that take no value."""


def readable(arguments: list[str]) -> list[str]:
    """Return the arguments with the home folder for `~`, and with quotes around a value that can only be text.

    Raises:
        DeblurzooError: an argument is no override, or its value needs quotes; the message says how to type it.
    """
    sweep = any(argument in _SWEEP or argument.startswith("hydra.mode=") for argument in arguments)
    return list(_readable(arguments, sweep))


def renamed(key: str, value: str) -> tuple[str, str] | None:
    """Return the word of version 0.1 that a key of a config, or a key with this value, begins with, and today's."""
    top = re.match(r"[+~]*(\w*)", key)[1]  # type: ignore[index]
    return next(((word, RENAMED[word]) for word in (f"{top}={value}", top) if word in RENAMED), None)


def _readable(arguments: list[str], sweep: bool) -> Iterator[str]:
    of_option = False
    for argument in arguments:
        option, equals, value = argument.partition("=") if argument.startswith("-") else ("", "", argument)
        yield option + equals + _at_home(value) if option or of_option else _override(argument, sweep)
        of_option = bool(option and not equals) and option not in _FLAGS


def _at_home(text: str) -> str:
    return _HOME.sub(lambda match: f"{match[1]}{user_path(match[2])}", text)


def _override(argument: str, sweep: bool) -> str:
    """Return an override that Hydra reads."""
    key, equals, value = argument.partition("=")
    if words := renamed(key, value):
        raise DeblurzooError(f"{words[0]} is now {words[1]}: type {shlex.quote(argument.replace(*words, 1))}")
    home = _at_home(value)
    read = _read(key + equals + home)
    if read and (sweep or not read.is_sweep_override()):
        return key + equals + home
    if (not read and not _GRAMMAR & set(value)) or (value.startswith("~") and not sweep):
        quoted = f"{key}={_quoted(home)}"
        if equals and _read(quoted):
            return quoted
    raise DeblurzooError(_problem(argument, sweep))


def _read(override: str) -> Override | None:
    """Return what Hydra reads, or None if its grammar refuses it."""
    try:
        return OverridesParser.create().parse_override(override)
    except HydraException:
        return None


def _problem(argument: str, sweep: bool) -> str:
    """Return what is wrong with an override that cannot be read, or gives several values, and what to type."""
    key, equals, value = argument.partition("=")
    if not _read(f"{key}=x"):
        return f"{argument} cannot be read: {key} is no key; --help lists the keys"
    if not equals:
        return f"{argument} is no override: type {key}=VALUE"
    spelled = _spelled(value, sweep)
    typed = shlex.quote(f"{key}={spelled}")
    if _read(argument):
        alone = "" if "(" in value else f"; for one text type {typed}, for a list '{key}=[{value}]'"
        return f"{argument} gives several values: for a run of each add -m{alone}"
    signs = [
        sign for sign in dict.fromkeys(_UNQUOTED.sub("", value)) if spelled == _quoted(value) or sign not in _GRAMMAR
    ]
    reason = f"{' '.join(map(repr, signs))} need quotes" if signs else "a quote is not closed"
    return f"{argument} cannot be read: {reason}; type {typed}"


def _spelled(value: str, sweep: bool) -> str:
    """Return a value with quotes around what Hydra cannot read as it stands: items of a list, or all of it."""
    if value[0] in "[{" or (sweep and "," in value):
        items = _ITEM.sub(lambda item: item[0] if _read(f"x={item[0]}") else _quoted(item[0]), value)
        if _read(f"x={items}"):
            return items
    return _quoted(value.strip(value[0]) if value[0] in "\"'" else value)


def _quoted(text: str) -> str:
    """Return text in Hydra's quotes."""
    return '"' + re.sub(r'(\\*)("|\Z)', lambda match: 2 * match[1] + match[2].replace('"', '\\"'), text) + '"'
