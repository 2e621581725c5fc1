"""Data models of `results.json` and of the files of an unfinished evaluation.

Keys are written in the order of the fields. Keys that version 0.1 did not write have a default.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from math import prod
from pathlib import Path
from statistics import fmean, median
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from deblurzoo.errors import DeblurzooError, few_of
from deblurzoo.metrics import FIGURE, LARGEST
from deblurzoo.metrics.tiles import tile_grid
from deblurzoo.records import Count, Name, Record, checked, load_record

RESULTS = "results.json"

Value = Annotated[float, Field(gt=-LARGEST, lt=LARGEST)]
FigureName = Annotated[str, Field(pattern=FIGURE)]
Figures = dict[FigureName, Value]
Plain = Annotated[dict[str, Any], AfterValidator(lambda value: json.loads(json.dumps(value)))]
"""A dict whose values have JSON types; tuples are converted to lists."""


class Network(Record):
    """The measured network: class, keyword arguments and parameter count.

    The class of images that another program restored is `RestoredImages`, and their parameter count is None.
    """

    kind: str = Field(alias="class")
    arguments: Plain
    parameters: Count | None


class Origin(Record):
    """The files of a network's authors from which an export was imported."""

    format: str
    files: dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]]
    """SHA-256 of each file, by name."""
    layout: Literal["columns", "rows"] | None
    """Order of pixels in training, see `deblurzoo.weights.mappings.Layout`."""
    skipped: Count
    """Number of tensors of the files that the network does not use."""

    @property
    def summary(self) -> str:
        """The names of the files and their format, in one line."""
        return f"{few_of([*self.files])} ({self.format})"


class Checkpoint(Record):
    """A file of trained weights with the record of the weights that its run started from, or of its import.

    For images that another program restored: their folder, step 0 and a SHA-256 of all images.
    """

    file: str
    step: Count
    sha256: str
    lineage: "Lineage | None" = None
    origin: Origin | None = Field(default=None, exclude_if=lambda value: value is None)


class Lineage(Checkpoint):
    """The trained weights that a run started from, and the tensors of its network that they initialised."""

    loaded: Count
    """Number of loaded tensors."""
    missing: list[str]
    """Tensors of the network that were not loaded."""
    unused: list[str]
    """Tensors of the file that were not loaded."""

    @property
    def summary(self) -> str:
        """The file, its step and origin, and numbers and some names of loaded and omitted tensors, in one line."""
        parts = [f"{self.file}, step {self.step}: {self.loaded} of {self.loaded + len(self.missing)} tensors"]
        parts += [f"imported from {self.origin.summary}"] if self.origin else []
        parts += [f"not initialised: {few_of(self.missing)}"] if self.missing else []
        parts += [f"unused: {few_of(self.unused)}"] if self.unused else []
        return "; ".join(parts)


class TestImages(Record):
    """The measured images; see `deblurzoo.data.fingerprint.describe`."""

    name: str = ""
    place: str = ""
    fingerprint: str = ""


class WithPrecision(Record):
    """The section `trainer` of an evaluation's config."""

    precision: str | int


class Settings(Record):
    """The keys of an evaluation's config by which evaluations are distinguished."""

    data: dict[str, Any]
    trainer: WithPrecision
    switch: str | None
    self_ensemble: bool = False
    rounding: Literal["nearest", "floor"]


def _has_settings(config: dict[str, Any]) -> dict[str, Any]:
    checked(config, Settings)
    return config


class Facts(Record):
    """`facts.json` of an unfinished evaluation: all metadata that is known before the measurement."""

    name: str
    network: Network
    checkpoint: Checkpoint
    dataset: str
    protocol: str
    measure: str = "plain"
    split: str
    blur_folder: str
    incomplete_clips: list[str] = Field(default_factory=list)
    independent: bool = Field(default=False, exclude_if=lambda value: not value)
    """Whether the images of a clip are independent of each other."""
    common_frames: int | None = None
    rounding: str
    data: TestImages = TestImages()
    source: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """Origin of images that another program restored, such as a URL."""
    metric_versions: dict[FigureName, str] = Field(default_factory=dict, exclude_if=lambda versions: not versions)
    """Version of the code and hash of the weights, by metric; empty for metrics of deblurzoo."""
    threads: Annotated[int, Field(gt=0, lt=2**10)] | None = Field(default=None, exclude_if=lambda value: value is None)
    """Number of threads with which a network computed on a CPU: values depend on it in their last digits."""
    deblurzoo: str
    config: Annotated[Plain, AfterValidator(_has_settings)]

    @property
    def is_of_images(self) -> bool:
        """Whether another program restored the images."""
        return self.network.parameters is None

    @property
    def settings(self) -> Settings:
        """The keys of the config by which evaluations are distinguished."""
        return Settings.model_validate(self.config)


class FrameName(Record):
    """A frame of an evaluation."""

    clip: Name
    frame: Name

    @property
    def id(self) -> str:
        """CLIP/FRAME."""
        return f"{self.clip}/{self.frame}"

    @property
    def image(self) -> str:
        """Path of the restored image, relative to the folder of `results.json`."""
        return f"restored/{self.clip}/{self.frame}.png"

    @property
    def strip(self) -> str:
        """Path of the optional blurry | restored | sharp strip, relative to the folder of `results.json`."""
        return f"side_by_side/{self.clip}_{self.frame}.png"


def scene(facts: Facts, image: FrameName) -> str:
    """Return the name of the clip or photo of an image. Only images of different clips or photos are independent."""
    if facts.protocol == "photos":  # the test exposures of a photo are clips NAME_NUMBER
        return re.sub(r"_\d+$", "", image.clip)
    return image.id if facts.independent else image.clip


class FedSharp(FrameName):
    """A sharp frame used as network input, and the PSNR in dB between the output and this frame (`do_no_harm`)."""

    psnr: float


class NothingToRestore(FrameName):
    """A pair of identical blurry and sharp images."""

    nothing_to_restore: Literal[True] = True


def _has_equal_names(measured: Any) -> Any:
    """Return `measured`; raise a ValueError if its restored and blurry image have different metrics, or no PSNR."""
    if "psnr" not in measured.restored or list(measured.restored) != list(measured.blurry):
        raise ValueError("restored and blurry must have the same metrics in the same order, including psnr")
    return measured


def _numbers(text: Any) -> Any:
    return [float(word) for word in text.split()] if isinstance(text, str) else text


Numbers = Annotated[
    list[Annotated[float, Field(ge=0, lt=LARGEST)]],
    BeforeValidator(_numbers),
    PlainSerializer(lambda values: " ".join(f"{value:.4g}" for value in values)),
]
"""Numbers in one text, with four significant digits: a list would take a line of the file for each number."""


class Tiles(Record):
    """The tiles of a frame, row by row, see `deblurzoo.metrics.tiles`."""

    length: Numbers
    """Blur lengths in pixels, see `deblurzoo.data.blur_length`."""
    blurry: Numbers
    """Mean squared errors of the blurry image, of pixel values from 0 to 255."""
    restored: Numbers
    """Mean squared errors of the restored image."""


class Measured(FrameName):
    """A frame with the metric values of its blurry and its restored image; `tiles` only if blur lengths are known.

    `sharp` has the values of its sharp image for metrics without reference, and for the warping error.
    """

    height: int
    width: int
    ms: float | None
    restored: Figures
    blurry: Figures
    sharp: Figures = Field(default_factory=dict, exclude_if=lambda figures: not figures)
    tiles: Tiles | None = Field(default=None, exclude_if=lambda tiles: tiles is None)

    _agree = model_validator(mode="after")(_has_equal_names)

    @model_validator(mode="after")
    def _has_all_tiles(self) -> Self:
        count = prod(tile_grid(self.height, self.width))
        if self.tiles and any(len(values) != count for _, values in self.tiles):
            raise ValueError(f"tiles must have {count} numbers each, one for each tile of the image")
        return self


Row = Measured | FedSharp | NothingToRestore
"""A line of `measured.jsonl`."""


def row_of(line: bytes) -> Row:
    """Return the record of a line of `measured.jsonl`; raise a ValueError if the line is corrupt."""
    content = json.loads(line)
    shapes: dict[str, type[Row]] = {"psnr": FedSharp, "nothing_to_restore": NothingToRestore}
    shape = next((shapes[key] for key in shapes if isinstance(content, dict) and key in content), Measured)
    return checked(content, shape)


class Results(Facts):
    """`results.json`: metadata, means over images, gain in dB, median time in ms, resolutions, and values per
    image. The time is None for images that another program restored.

    `do_no_harm` contains measurements with sharp input, see `FedSharp`; `do_no_harm_psnr` is their mean.
    """

    frames: Count
    nothing_to_restore: list[Name] = Field(default_factory=list)
    resolution: list[str]
    restored: Figures
    blurry: Figures
    sharp: Figures = Field(default_factory=dict, exclude_if=lambda figures: not figures)
    gain_db: Value
    do_no_harm_psnr: Value | None = None
    ms_per_image: Value | None
    images: list[Measured]
    do_no_harm: list[FedSharp] = Field(default_factory=list)

    _agree = model_validator(mode="after")(_has_equal_names)

    @classmethod
    def of(cls, facts: Facts, rows: Sequence[Row]) -> Self:
        """Return the results of an evaluation. Pairs of identical images are listed and excluded from all means.

        Raises:
            DeblurzooError: all pairs have identical images.
        """
        images = [row for row in rows if isinstance(row, Measured)]
        harmless = [row for row in rows if isinstance(row, FedSharp)]
        equal = [row.id for row in rows if isinstance(row, NothingToRestore)]
        if not images:
            raise DeblurzooError(
                f"nothing to restore, the blurry and the sharp image are identical in all {len(equal)} pairs: check "
                "that blur and sharp are different folders"
            )
        kinds = ("restored", "blurry", "sharp")
        restored, blurry, sharp = (_means([getattr(image, kind) for image in images]) for kind in kinds)
        times = [image.ms for image in images if image.ms is not None]
        return cls(
            **dict(facts),
            frames=len(images),
            nothing_to_restore=equal,
            resolution=sorted({f"{image.width}x{image.height}" for image in images}),
            restored=restored,
            blurry=blurry,
            sharp=sharp,
            gain_db=restored["psnr"] - blurry["psnr"],
            do_no_harm_psnr=fmean(row.psnr for row in harmless) if harmless else None,
            ms_per_image=median(times) if times else None,
            images=images,
            do_no_harm=harmless,
        )


def _means(values: list[Figures]) -> Figures:
    """Return the mean of each metric over the images that have it: first frames have no warping error."""
    names = dict.fromkeys(name for figures in values for name in figures)
    return {name: fmean(figures[name] for figures in values if name in figures) for name in names}


def inconsistent(results: Results) -> str:
    """Return the reason for which values of the results contradict each other, or "" if they agree."""
    frames = [*(image.id for image in results.images), *results.nothing_to_restore]
    for ids in (frames, [row.id for row in results.do_no_harm]):
        if repeated := [name for name, count in Counter(ids).items() if count > 1]:
            return f"several values are stored for {few_of(repeated)}"
    if results.is_of_images and any(image.ms is not None for image in results.images):
        return "times are stored for images that another program restored"
    pairs = [name.rpartition("/") for name in results.nothing_to_restore]
    excluded = [NothingToRestore(clip=clip, frame=frame) for clip, _, frame in pairs]
    facts = Facts(**{name: getattr(results, name) for name in Facts.model_fields})
    again = Results.of(facts, [*results.images, *results.do_no_harm, *excluded])
    wrong = [name for name in Results.model_fields if getattr(again, name) != getattr(results, name)]
    return f"{', '.join(wrong)} does not follow from the values per image" if wrong else ""


def read(file: Path) -> Results:
    """Return the results in a `results.json`.

    Raises:
        DeblurzooError: the file is missing or corrupt.
    """
    return load_record(file, Results, "run `deblurzoo evaluate` again")
