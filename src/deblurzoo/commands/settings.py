"""Schemas of the configs of the Hydra commands: types and bounds."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

from deblurzoo.errors import DeblurzooError, is_one_line
from deblurzoo.metrics import metric
from deblurzoo.records import Record, require_project, shown
from deblurzoo.training.schedules import known

Text = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int | float) else value)]
"""Text. A number is converted to text, because Hydra parses name=2021 as a number."""


def _in_one_line(text: str) -> str:
    if not is_one_line(text):
        raise ValueError("must be in one line, without control characters")
    return text.strip()


def _listed(value: Any) -> Any:
    """Return a single string as a list."""
    return [value] if isinstance(value, str) else value


Texts = Annotated[list[Text], BeforeValidator(lambda value: _listed(value) or [])]


def _known_metric(name: str) -> str:
    metric(name)
    return name


class Config(Record):
    """A section of a config. Undeclared keys are allowed and not checked."""

    model_config = ConfigDict(extra="allow")

    @property
    def content(self) -> dict[str, Any]:
        """The whole content as nested dicts and lists."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class Buildable(Config):
    """The config of an object: its class and its arguments."""

    target: str = Field(alias="_target_")


class Optimizer(Buildable):
    """The config of an optimiser; torch checks all arguments except `lr`."""

    lr: float | None = None


class Schedule(Record):
    """The config of a schedule: the arguments of `deblurzoo.training.schedules.factor` except the step."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, AfterValidator(known)]
    steps: PositiveInt
    power: NonNegativeFloat
    end: Annotated[float, Field(ge=0, le=1)]
    warmup: NonNegativeInt


class Trainer(Buildable):
    """The config of Lightning's trainer."""

    accelerator: str
    devices: Any
    precision: str | int
    max_steps: PositiveInt
    accumulate_grad_batches: PositiveInt
    gradient_clip_val: NonNegativeFloat | None
    gradient_clip_algorithm: Literal["norm", "value"]
    val_check_interval: PositiveInt
    log_every_n_steps: PositiveInt


class Model(Buildable):
    """The config of a `DeblurModule`."""

    net: dict[str, Any]
    optimizer: Optimizer
    schedule: Schedule
    loss: Annotated[dict[str, Annotated[float, Field(gt=0)]], Field(min_length=1)] | None


class Logger(Buildable):
    """The config of a logger; `project` is declared by the logger for W&B."""

    project: Annotated[Text, AfterValidator(require_project)] | None = None


class Settings(Config):
    """Keys shared by train and evaluate."""

    data: Buildable
    datamodule: Buildable
    trainer: Trainer
    compile: bool
    metrics: Annotated[list[Annotated[str, AfterValidator(_known_metric)]] | None, BeforeValidator(_listed)]
    trust: str | list[str] | None


class Evaluating(Settings):
    """The config of `deblurzoo evaluate`: of a checkpoint, or of images that another program restored."""

    checkpoint: Text | None
    restored: Text | None = None
    name: Text | None = None
    source: Annotated[Text, AfterValidator(_in_one_line)] | None = None
    out: Text | None
    switch: Literal["disable_rnn", "same_frame", "no_tlc"] | None
    self_ensemble: bool = False
    pictures: NonNegativeInt
    no_harm: NonNegativeInt
    rounding: Literal["nearest", "floor"]

    @model_validator(mode="after")
    def _has_one_subject(self) -> Self:
        if not self.checkpoint and not self.restored:  # also an empty text, which would be the current folder
            raise DeblurzooError(
                "checkpoint is not set: give checkpoint=RUN_FOLDER, checkpoint=FILE.ckpt, checkpoint=EXPORT_FOLDER, "
                "checkpoint=NAME of `deblurzoo weights` or, for images that another program restored, restored=FOLDER"
            )
        if self.checkpoint is not None and self.restored is not None:
            raise DeblurzooError("checkpoint and restored exclude each other: give one of them")
        subject = "restored" if self.checkpoint is None else "checkpoint"
        of_other = ("switch", "self_ensemble", "compile") if self.checkpoint is None else ("name", "source")
        for key in of_other:
            if value := getattr(self, key):
                raise DeblurzooError(f"{key}={shown(value)} has no effect with {subject}: omit it")
        return self


class Training(Settings):
    """The config of `deblurzoo train`."""

    model: Model
    callbacks: dict[str, Buildable | None]
    logger: dict[str, Logger | None]
    name: Text
    label: Text
    group: Text | None
    tags: Texts
    seed: Annotated[int, Field(ge=0, lt=2**32)]  # NumPy's bound
    blur: str | None
    resume: Text | None
    init: Text | None
    init_partial: bool
    evaluate_at_end: bool
    choices: dict[str, str | None]
    run: str
    run_id: str


class Showing(Training):
    """The config of `deblurzoo data show`."""

    out: Text
    samples: PositiveInt


class Checking(Record):
    """The config of `deblurzoo data check`."""

    data: Buildable
    against: Buildable | None = None


class Packing(Record):
    """The config of `deblurzoo data pack`."""

    data: Buildable
    out: Text


SHAPES: dict[str, type[Record]] = {
    "train": Training,
    "evaluate": Evaluating,
    "data_check": Checking,
    "data_pack": Packing,
    "data_show": Showing,
}
"""Schemas of the configs, by command."""
