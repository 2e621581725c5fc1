"""What configs and the files that runs leave must hold: whoever wrote them, they have that shape or are refused."""

import json
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from deblurzoo.errors import DeblurzooError
from deblurzoo.metrics import FIGURE, LARGEST


class Record(BaseModel):
    """The least that a file must hold; it may hold more."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


def load_record(file: Path, shape: type[Record], remedy: str) -> dict[str, Any]:
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


def checked(content: Any, shape: type[Record]) -> dict[str, Any]:
    """Return `content` as it is; raise a ValueError that names the first value that is not of the shape."""
    try:
        shape.model_validate(content)
    except ValidationError as error:
        raise ValueError(first_problem(error)) from error
    valid: dict[str, Any] = content
    return valid


def first_problem(error: ValidationError) -> str:
    """Return in one line where and why a content is not of its shape, with the value if it is short."""
    first = error.errors()[0]
    place, value = ".".join(map(str, first["loc"])), first["input"]
    if place and isinstance(value, bool | int | float | str | None) and len(str(value)) < 100:
        place += f"={value}"
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
Value = Annotated[float, Field(gt=-LARGEST, lt=LARGEST)]
Figures = dict[Annotated[str, Field(pattern=FIGURE)], Value]


class Pictures(Record):
    """Which pictures were trained on or measured; see `deblurzoo.data.fingerprint.describe`."""

    name: str
    place: str
    fingerprint: str


class Checkpoint(Record):
    """The checkpoint that was measured."""

    file: str
    step: Count
    sha256: str


class WithPrecision(Record):
    """What is used of the trainer's config."""

    precision: str | int


class Measuring(Record):
    """The config of an evaluation in its files, as far as evaluations are told apart by it."""

    data: dict[str, Any]
    trainer: WithPrecision
    switch: str | None
    rounding: str


class Begun(Record):
    """`facts.json` of an unfinished evaluation; those of version 0.1 have no `data`."""

    checkpoint: Checkpoint
    protocol: str
    blur_folder: str
    common_frames: int | None = None
    data: Pictures | None = None
    config: Measuring


class FedSharp(Record):
    """A line of `measured.jsonl`: a frame that was sharp already."""

    clip: Name
    frame: Name
    psnr: float


class BeforeAndAfter(Record):
    """Figures of the blurry input and of what a network made of it."""

    restored: Figures
    blurry: Figures

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if "psnr" not in self.restored or list(self.restored) != list(self.blurry):
            raise ValueError("restored and blurry must have the same figures in one order, psnr among them")
        return self


class Measured(BeforeAndAfter):
    """A frame of an evaluation."""

    clip: Name
    frame: Name


class NothingToRestore(Record):
    """A line of `measured.jsonl`: a pair whose blurry picture equals its sharp one."""

    clip: Name
    frame: Name
    nothing_to_restore: Literal[True]


class MeasuredNow(Measured):
    """A line of `measured.jsonl`."""

    height: int
    width: int
    ms: float


class Network(Record):
    """The network of `results.json`."""

    kind: str = Field(alias="class")
    parameters: Count
    arguments: dict[str, Any]


class Evaluated(BeforeAndAfter):
    """`results.json` of an evaluation."""

    name: str
    network: Network
    dataset: str
    protocol: str
    split: str
    blur_folder: str
    rounding: str
    data: Pictures | None = None
    checkpoint: Checkpoint | None = None
    resolution: list[str]
    frames: Count
    gain_db: Value
    ms_per_image: Value
    do_no_harm_psnr: Value | None = None
    images: list[Measured]
    measure: str = "plain"
    nothing_to_restore: list[Name] = []


class Identity(Record):
    """`run.json` of a run folder."""

    id: Literally
    name: str


class Status(Record):
    """`status.json` of a run folder."""

    state: Literal["running", "done", "failed"]
    reason: str | None
    host: str
    process: Annotated[int, Field(ge=0, lt=2**31)]


class RunConfig(Record):
    """What is used of a run's `config.yaml`."""

    tags: list[str]
    group: str | None


class Synthesis(Record):
    """`synthesis.yaml` of synthesized data."""

    refused: list[str] = []
    nothing_to_restore: list[str] = []
