"""Building of objects from configs: import a class, check the arguments against its type hints, and call the class.

A config in a file may be untrusted. It therefore never decides which code runs, see `deblurzoo.extensions.resolve`.
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

from deblurzoo.errors import DeblurzooError, first_line, lacks_memory
from deblurzoo.extensions import OURS, resolve
from deblurzoo.records import brief

T = TypeVar("T")
Find = Callable[[str, Any], type[Any]]


def build(config: Any, kind: Callable[..., T], place: str, find: Find = resolve, **given: Any) -> T:
    """Return an instance of the class that a config names as `_target_`.

    An argument that has a `_target_` is built first, by the same rules, unless the class declares it as a dict.

    Args:
        config: `_target_` and keyword arguments of JSON types.
        kind: the required base class.
        place: the key of the config, for messages.
        find: a function that returns the class for a name and a base class: `extensions.resolve` for the content of a
            file, `extensions.imported` for the user's own config, which may name any class.
        given: additional keyword arguments of any type.

    Raises:
        DeblurzooError: the class does not exist, or it rejects its arguments.
    """
    if not isinstance(config, dict) or not isinstance(config.get("_target_"), str):
        raise DeblurzooError(f"{place} is not a config with a _target_")
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
    except Exception as error:  # a user's class may raise anything
        if lacks_memory(error):
            raise
        raise DeblurzooError(f"{place}._target_={config['_target_']}: {first_line(error)}") from error
    return built


def _found(name: str, kind: Callable[..., T], place: str, find: Find) -> type[T]:
    try:
        return find(name, kind)
    except (ValueError, DeblurzooError) as error:
        raise DeblurzooError(f"{place}._target_={error}") from error


def rebuild(config: Any, key: str, kind: Callable[..., T], file: Path) -> T:
    """Return the object that a key of a file's config describes.

    Args:
        config: the content of the file, unresolved (from `yaml.safe_load` or `json.loads`).
        key: a key of `config`.
        kind: the required base class, such as `deblurzoo.data.Source`.
        file: the file's path, for messages.

    Raises:
        DeblurzooError: the class is not trusted or not a subclass of `kind`, or it rejects its arguments.
    """
    try:
        return build(config.get(key) if isinstance(config, dict) else None, kind, key)
    except (DeblurzooError, RecursionError) as error:
        raise DeblurzooError(f"{file} cannot be used ({error}): use a file written by deblurzoo") from error


def checked(cls: type[Any], arguments: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return arguments, converted to a class's type hints: for example, a list to a tuple, or a dict to a dataclass.

    Args:
        cls: the class. Values of JSON types are checked and converted only if the class belongs to deblurzoo.
        arguments: values of JSON types; other objects are returned unchanged.
        place: the key of the config, for messages.

    Raises:
        DeblurzooError: the class has no such argument, or a value does not match its type hint.
    """
    known = inspect.signature(cls).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    found = {}
    for key, value in arguments.items():
        if key not in known and not takes_any:
            raise DeblurzooError(
                f"{place}.{key} is not an argument of {cls.__name__}, which has {', '.join(known) or 'none'}"
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
        if type(value) in (int, float):  # Hydra parses the folder name 2023 as a number
            with suppress(ValidationError):
                return adapter.validate_json(json.dumps(str(value)), strict=True)
        first = error.errors()[0]
        where = ".".join([place, *(str(part) for part in first["loc"] if isinstance(part, int) or part.isidentifier())])
        raise DeblurzooError(
            f"{where}={brief(first['input'])} is invalid for {cls.__name__}: {first['msg']}"
        ) from error


def _hint(cls: type[Any], key: str) -> Any:
    """Return the type hint of a class's argument, including bounds, or None if the argument has no hint."""
    hints = get_type_hints(cls.__init__, include_extras=True)
    parameters = inspect.signature(cls).parameters.values()
    rest = next((parameter.name for parameter in parameters if parameter.kind is parameter.VAR_KEYWORD), "")
    return hints.get(key, hints.get(rest))


def _part(hint: Any) -> type[Any] | None:
    """Return the class of a nested config according to the type hint, or None if the hint has no class."""
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return next((option for option in options if isinstance(option, type) and option is not NoneType), None)


def _stays_dict(hint: Any) -> bool:
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return any((get_origin(option) or option) is dict for option in options)


def require_plain(value: Any, place: str) -> None:
    """Raise a DeblurzooError unless a value is None, a bool, an int, a float, a str, or a dict or list of such values.

    Keys with a special meaning in Hydra, such as `_target_` and `_args_`, are rejected at any depth.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str) or (key.startswith("_") and key.endswith("_")):
                raise DeblurzooError(f"{place}.{key}={inner} is not allowed")
            require_plain(inner, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            require_plain(inner, f"{place}.{number}")
    elif not (value is None or isinstance(value, bool | int | float | str)):
        raise DeblurzooError(f"{place} is of type {type(value).__name__}, which is not allowed")
