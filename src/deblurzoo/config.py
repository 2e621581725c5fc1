"""Calling a class with what a file says. Anyone may have written the file: it never decides which code runs."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from deblurzoo.errors import DeblurzooError
from deblurzoo.extensions import resolve

T = TypeVar("T")


def rebuild(config: Any, key: str, kind: type[T], file: Path) -> T:
    """Build what a key of a config out of a file describes.

    The class must be a subclass of `kind` that deblurzoo or a trusted package defines (`deblurzoo.extensions`); its
    arguments are plain values. An argument that the class declares to be of that kind, such as a part of a data set, is
    built by the same rule.

    Args:
        config: the content of the file, in which nothing has been resolved (`yaml.safe_load`, `json.loads`).
        key: a key of `config`.
        kind: a base class, such as `deblurzoo.data.Source`.
        file: for messages.

    Raises:
        DeblurzooError: the file names anything else, which has not been called, or the class refuses its arguments.
    """
    try:
        return _built(config.get(key) if isinstance(config, dict) else None, kind, key)
    except (TypeError, ValueError, RecursionError) as error:
        raise DeblurzooError(f"{file} cannot be used ({error}): give one that deblurzoo wrote") from error


def _built(content: Any, kind: type[T], place: str) -> T:
    if not isinstance(content, dict) or "_target_" not in content:
        raise ValueError(f"{place} is no config with a _target_")
    try:
        cls = resolve(str(content["_target_"]), kind)
    except ValueError as error:
        raise ValueError(f"{place}._target_={error}") from error
    declared = get_type_hints(cls.__init__)
    plain, parts = {}, {}
    for key, value in content.items():
        wanted = declared.get(key)
        if isinstance(value, dict) and "_target_" in value and isinstance(wanted, type) and issubclass(wanted, kind):
            parts[key] = _built(value, wanted, f"{place}.{key}")
        elif key != "_target_":
            plain[key] = value
    require_plain(plain, place)
    require_types(cls, plain)
    return cls(**plain, **parts)


def require_plain(value: Any, place: str) -> None:
    """Raise a ValueError unless a value is None, a bool, an int, a float or a str, or dicts and lists of these.

    Keys that mean something to Hydra, such as `_target_` and `_args_`, are refused at any depth.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str) or (key.startswith("_") and key.endswith("_")):
                raise ValueError(f"{place}.{key}={inner} is no plain value")
            require_plain(inner, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            require_plain(inner, f"{place}.{number}")
    elif not (value is None or isinstance(value, bool | int | float | str)):
        raise ValueError(f"{place} is a {type(value).__name__}, no plain value")


def require_types(called: Callable[..., Any], arguments: dict[str, Any]) -> None:
    """Raise a ValueError if a class or function has no such argument, or declares another type for it."""
    declared = get_type_hints(called.__init__ if isinstance(called, type) else called)  # type: ignore[misc]
    known = inspect.signature(called).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    for key, value in arguments.items():
        if key not in known and not takes_any:
            raise ValueError(f"{key} is no setting of {_full_name(called)}, which has {', '.join(known) or 'none'}")
        if key not in declared:
            continue
        adapter = TypeAdapter(declared[key], config=ConfigDict(arbitrary_types_allowed=True))
        try:
            adapter.validate_json(json.dumps(value), strict=True)  # in which lists may become tuples
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise ValueError(f"{key}={value} is wrong for {_full_name(called)}: {reason}") from error


def _full_name(called: Callable[..., Any]) -> str:
    return f"{called.__module__}.{called.__qualname__}"
