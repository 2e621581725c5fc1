"""Building what a config names: a class is found, its arguments are checked against its hints, and it is called.

Anyone may have written a file: what it says never decides which code runs (`deblurzoo.extensions.resolve`).
"""

import dataclasses
import inspect
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from deblurzoo.errors import DeblurzooError, first_line
from deblurzoo.extensions import OURS, resolve
from deblurzoo.records import shown

T = TypeVar("T")
Find = Callable[[str, Any], type[Any]]


def build(config: Any, kind: Callable[..., T], place: str, find: Find = resolve, **given: Any) -> T:
    """Call the class that a config names with plain values.

    An argument that has a `_target_` itself is built before by the same rule, unless the class declares a dict for it.

    Args:
        config: `_target_` and keyword arguments.
        kind: the class must be a subclass of it.
        place: the key of the config, for messages.
        find: from a name and a base class to the class. `extensions.resolve` for what a file says; for the user's own
            config, which may name any class, `extensions.imported`.
        given: further keyword arguments, which may be objects.

    Raises:
        DeblurzooError: there is no such class, or it refuses its arguments.
    """
    if not isinstance(config, dict) or not isinstance(config.get("_target_"), str):
        raise DeblurzooError(f"{place} is no config with a _target_")
    try:
        cls = _found(config["_target_"], kind, place, find)
        arguments = {key: value for key, value in config.items() if key != "_target_"}
        for key, value in arguments.items():
            part = _part(_hint(cls, key)) or (None if find is resolve else object)
            nested = isinstance(value, dict) and "_target_" in value and not _stays_dict(_hint(cls, key))
            if part and nested:
                arguments[key] = build(value, part, f"{place}.{key}", find)
            elif find is resolve:
                require_plain(value, f"{place}.{key}")
        built: T = cls(**checked(cls, arguments, place), **given)
    except DeblurzooError:
        raise
    except Exception as error:  # whatever somebody's class raises
        raise DeblurzooError(f"{place}._target_={config['_target_']}: {first_line(error)}") from error
    return built


def _found(name: str, kind: Callable[..., T], place: str, find: Find) -> type[T]:
    try:
        return find(name, kind)
    except (ValueError, DeblurzooError) as error:
        raise DeblurzooError(f"{place}._target_={error}") from error


def rebuild(config: Any, key: str, kind: Callable[..., T], file: Path) -> T:
    """Build what a key of a config out of a file describes.

    Args:
        config: the content of the file, in which nothing has been resolved (`yaml.safe_load`, `json.loads`).
        key: a key of `config`.
        kind: a base class, such as `deblurzoo.data.Source`.
        file: for messages.

    Raises:
        DeblurzooError: the file names anything else, which has not been called, or the class refuses its arguments.
    """
    try:
        return build(config.get(key) if isinstance(config, dict) else None, kind, key)
    except (DeblurzooError, RecursionError) as error:
        raise DeblurzooError(f"{file} cannot be used ({error}): give one that deblurzoo wrote") from error


def checked(cls: type[Any], arguments: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return the arguments of a class as it declares them: a list becomes a tuple, a dict a dataclass.

    Args:
        cls: if it is one of ours, plain values must be of the types it declares.
        arguments: plain values, or objects that are taken as they are.
        place: for messages.

    Raises:
        DeblurzooError: the class has no such argument, or declares another type for it.
    """
    known = inspect.signature(cls).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    found = {}
    for key, value in arguments.items():
        if key not in known and not takes_any:
            raise DeblurzooError(
                f"{place}.{key} is no setting of {cls.__name__}, which has {', '.join(known) or 'none'}"
            )
        hint = _hint(cls, key)
        plain = isinstance(value, bool | int | float | str | list | tuple | dict | NoneType)
        is_checked = cls.__module__.partition(".")[0] == OURS and hint is not None and plain
        found[key] = _validated(hint, value, f"{place}.{key}", cls) if is_checked else value
    return found


def _validated(hint: Any, value: Any, place: str, cls: type[Any]) -> Any:
    loose = None if dataclasses.is_dataclass(hint) else ConfigDict(arbitrary_types_allowed=True)
    adapter = TypeAdapter(hint, config=loose)
    try:
        return adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        if type(value) in (int, float):  # Hydra takes a folder called 2023 for a number
            with suppress(ValidationError):
                return adapter.validate_json(json.dumps(str(value)), strict=True)
        first = error.errors()[0]
        where = ".".join([place, *(str(part) for part in first["loc"] if isinstance(part, int) or part.isidentifier())])
        raise DeblurzooError(f"{where}={shown(first['input'])} is wrong for {cls.__name__}: {first['msg']}") from error


def _hint(cls: type[Any], key: str) -> Any:
    """Return what a class declares of an argument, with its bounds; None if nothing."""
    hints = get_type_hints(cls.__init__, include_extras=True)
    parameters = inspect.signature(cls).parameters.values()
    rest = next((parameter.name for parameter in parameters if parameter.kind is parameter.VAR_KEYWORD), "")
    return hints.get(key, hints.get(rest))


def _part(hint: Any) -> type[Any] | None:
    """Return of which class a nested config is to be built; None where nothing says so."""
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return next((option for option in options if isinstance(option, type) and option is not NoneType), None)


def _stays_dict(hint: Any) -> bool:
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return any((get_origin(option) or option) is dict for option in options)


def require_plain(value: Any, place: str) -> None:
    """Raise a DeblurzooError unless a value is None, a bool, an int, a float or a str, or dicts and lists of these.

    Keys that mean something to Hydra, such as `_target_` and `_args_`, are refused at any depth.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str) or (key.startswith("_") and key.endswith("_")):
                raise DeblurzooError(f"{place}.{key}={inner} is no plain value")
            require_plain(inner, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            require_plain(inner, f"{place}.{number}")
    elif not (value is None or isinstance(value, bool | int | float | str)):
        raise DeblurzooError(f"{place} is a {type(value).__name__}, no plain value")
