"""Schemas of files. A file may be untrusted, so it is validated when it is read."""

import json
import re
import shlex
from pathlib import Path, PurePath
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
)

from deblurzoo.errors import DeblurzooError, unusable


class Record(BaseModel):
    """Base class of schemas. A schema declares the required content of a file; additional keys are allowed."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    def as_json(self, indent: int | None = None) -> bytes:
        """Return the content of a JSON file, with keys in the order of the fields."""
        return json.dumps(self.model_dump(by_alias=True), indent=indent, allow_nan=False).encode()


R = TypeVar("R", bound=Record)
_PLAIN = re.compile(r"[\w/.+:@%-]([\w/.+:@% -]*[\w/.+:@%-])?")
"""Text that Hydra accepts without quotes."""


def load_record(file: Path, shape: type[R], remedy: str) -> R:
    """Return the validated content of a JSON or YAML file.

    Args:
        file: path that ends in `.json` or `.yaml`.
        shape: the schema.
        remedy: the remedy for an invalid file, for the message.

    Raises:
        DeblurzooError: the file is missing or invalid.
    """
    try:
        content = (json.loads if file.suffix == ".json" else yaml.safe_load)(file.read_text())
        json.dumps(content, ensure_ascii=False, default=str).encode()  # fails for text that cannot be printed
        return checked(content, shape)
    except PermissionError as error:
        raise unusable(error) from error
    except OSError as error:
        raise DeblurzooError(f"{file} cannot be used ({error.strerror}): {remedy}") from error
    except (ValueError, TypeError, RecursionError, yaml.YAMLError) as error:  # TypeError: odd keys of YAML
        reason = " ".join(str(error).split())
        raise DeblurzooError(f"{file} cannot be used ({reason}): {remedy}") from error


def checked(content: Any, shape: type[R]) -> R:
    """Return content as a record, or raise a ValueError that names the first invalid value."""
    try:
        return shape.model_validate(content)
    except ValidationError as error:
        raise ValueError(first_problem(error)) from error


def shown(value: Any) -> str:
    """Return a value in the syntax of configs, such as null, true, or a string without quotes."""
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def quoted(text: str) -> str:
    """Return text in quotes, escaped for Hydra."""
    return '"' + re.sub(r'(\\*)("|\Z)', lambda match: 2 * match[1] + match[2].replace('"', '\\"'), text) + '"'


def typed(key: str, value: str | Path) -> str:
    """Return an override as the user types it in a shell: quoted for Hydra and for the shell where they require it."""
    text = str(value)
    return shlex.quote(f"{key}={text if _PLAIN.fullmatch(text) else quoted(text)}")


def brief(value: Any) -> str:
    """Return a value as `shown` for a message, without the middle of a long text or number."""
    text = shown(value)
    return text if len(text) < 100 else f"{text[:40]}…{text[-40:]}"


def ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    """Return the bounds of a range; raise a ValueError if the first exceeds the second."""
    if bounds[0] > bounds[1]:
        raise ValueError("the first number must not exceed the second")
    return bounds


def first_problem(error: ValidationError) -> str:
    """Return the first validation error in one line: the key, the value if the value is short, and the reason."""
    first = error.errors()[0]
    place, value = ".".join(map(str, first["loc"])), first["input"]
    if place and isinstance(value, bool | int | float | str | None):
        place += f"={brief(value)}"
    return f"{place}: {first['msg']}" if place else first["msg"]


def _stays_inside(name: str) -> str:
    if ".." in PurePath(name).parts or PurePath(name).is_absolute() or "\0" in name:
        raise ValueError(f"{name!r} leads out of the folder")
    return name


def require_project(text: str) -> str:
    """Return the name of a project of W&B, PROJECT or ENTITY/PROJECT; raise a ValueError for other text."""
    if not re.fullmatch(r"([^/\\#?%:\s]+/)?[^/\\#?%:\s][^/\\#?%:\t\n]{0,127}", text):
        raise ValueError(f"{text!r} is not a project of W&B: give PROJECT or ENTITY/PROJECT")
    return text


Name = Annotated[str, Field(max_length=255), AfterValidator(_stays_inside)]
"""Path relative to the folder of the file that contains it, and inside this folder; empty for the folder itself."""
Literally = Annotated[str, Field(pattern=r"^([^$]|\$[^{])*$")]
"""Text without `${`. The text becomes part of a config, in which `${…}` would be interpolated."""
Count = Annotated[int, Field(ge=0, lt=2**53)]
