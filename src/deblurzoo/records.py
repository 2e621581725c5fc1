"""Files of a given shape: whoever wrote them, they have it or are refused."""

import json
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

from deblurzoo.errors import DeblurzooError


class Record(BaseModel):
    """The least that a file must hold; it may hold more."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    def as_json(self, indent: int | None = None) -> bytes:
        """Return the text of a JSON file, with the keys in the order of the fields."""
        return json.dumps(self.model_dump(by_alias=True), indent=indent, allow_nan=False).encode()


R = TypeVar("R", bound=Record)


def load_record(file: Path, shape: type[R], remedy: str) -> R:
    """Return the content of a JSON or YAML file.

    Args:
        file: ends in `.json` or `.yaml`.
        shape: what it must hold.
        remedy: what to do about a file that does not.

    Raises:
        DeblurzooError: the file is missing or of another shape.
    """
    try:
        content = (json.loads if file.suffix == ".json" else yaml.safe_load)(file.read_text())
        json.dumps(content, ensure_ascii=False, default=str).encode()  # or text could not be printed
        return checked(content, shape)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise DeblurzooError(f"{file} cannot be used ({reason}): {remedy}") from error


def checked(content: Any, shape: type[R]) -> R:
    """Return a content as a record; raise a ValueError that names the first value that is not of the shape."""
    try:
        return shape.model_validate(content)
    except ValidationError as error:
        raise ValueError(first_problem(error)) from error


def shown(value: Any) -> str:
    """Return a value as it is typed in a config: null, true, a text without quotes."""
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def first_problem(error: ValidationError) -> str:
    """Return in one line where and why a content is not of its shape, with the value if it is short."""
    first = error.errors()[0]
    place, value = ".".join(map(str, first["loc"])), first["input"]
    if place and isinstance(value, bool | int | float | str | None) and len(str(value)) < 100:
        place += f"={shown(value)}"
    return f"{place}: {first['msg']}" if place else first["msg"]


def _stays_inside(name: str) -> str:
    if ".." in PurePath(name).parts or PurePath(name).is_absolute() or "\0" in name:
        raise ValueError(f"{name!r} leads elsewhere")
    return name


Name = Annotated[str, Field(max_length=200), AfterValidator(_stays_inside)]
"""Part of a path below the file that says it; empty for the folder itself."""
Literally = Annotated[str, Field(pattern=r"^([^$]|\$[^{])*$")]
"""Becomes part of a config, which would resolve `${…}`."""
Count = Annotated[int, Field(ge=0, lt=2**53)]
