"""What configs and the files that runs leave must hold: whoever wrote them, they have that shape or are refused."""

import json
from pathlib import Path, PurePath
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
)

from deblurzoo.errors import DeblurzooError
from deblurzoo.training.schedules import known


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


def first_problem(error: ValidationError) -> str:
    """Return in one line where and why a content is not of its shape."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
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


class Buildable(Record):
    """A config that names what to build of it."""

    target: str = Field(alias="_target_")


class Optimizer(Buildable):
    """The config of an optimiser; what else its class takes, torch checks."""

    lr: float | None = None


class Schedule(Record):
    """The config of a schedule: the arguments of `deblurzoo.training.schedules.factor` but the step."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, AfterValidator(known)]
    steps: PositiveInt
    power: NonNegativeFloat
    end: Annotated[float, Field(ge=0, le=1)]
    warmup: NonNegativeInt


class Model(Buildable):
    """The config of a module."""

    net: dict[str, Any]
    optimizer: Optimizer
    schedule: Schedule
    loss: Annotated[dict[str, Annotated[float, Field(gt=0)]], Field(min_length=1)] | None


class Evaluating(Record):
    """The config of `deblurzoo evaluate`, as far as it is not checked value by value."""

    data: Buildable
    datamodule: Buildable
    trainer: Buildable
    compile: bool


class Training(Evaluating):
    """The config of `deblurzoo train`, as far as it is not checked value by value."""

    model: Model
    callbacks: dict[str, Buildable | None]
    logger: dict[str, Buildable | None]
    resume: str | None
