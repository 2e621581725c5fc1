"""Metrics: built-in metrics (`METRICS`), and metrics of trusted packages."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deblurzoo import extensions
from deblurzoo.errors import DeblurzooError, first_line
from deblurzoo.media import Image
from deblurzoo.metrics.mssim import image_mssim
from deblurzoo.metrics.psnr_ssim import image_psnr, image_ssim, image_ssim_matlab3d
from deblurzoo.metrics.realblur import image_psnr_aligned, image_ssim_aligned
from deblurzoo.metrics.sharpness import image_sharpness

PictureFunction = Callable[[Image, Image], float]
"""Function that maps an image and its sharp image, both uint8 (H, W, 3), to a metric value."""
FIGURE = r"^[a-z][a-z0-9_]{0,39}$"
"""Regular expression of valid metric names."""
LARGEST = 1e9
"""Exclusive upper limit of the magnitude of metric values, both measured and stored."""


@dataclass(frozen=True)
class Figure:
    """The display properties of a metric.

    Args:
        heading: heading of the column.
        digits: number of decimal places.
        unit: unit such as dB; empty for a metric without unit.
        higher_is_better: whether the highest value is the best.
    """

    heading: str
    digits: int
    unit: str
    higher_is_better: bool

    def __post_init__(self) -> None:
        kinds = {"heading": str, "digits": int, "unit": str, "higher_is_better": bool}
        for name, kind in kinds.items():
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"{name}={getattr(self, name)!r} of a metric must be {kind.__name__}")

    def text(self, value: float) -> str:
        """Return a value as text with `digits` decimal places, without the unit."""
        return f"{value:.{self.digits}f}"

    def shown(self, value: float | None) -> str:
        """Return a value as `text`, or "" if it is None."""
        return "" if value is None else self.text(value)


@dataclass(frozen=True)
class Metric(Figure):
    """A metric that can be measured.

    Args:
        function: maps an image and its sharp image, both uint8 (H, W, 3), to a finite number. It must be thread-safe.
        no_reference: whether `function` ignores the sharp image. The value of the sharp image is then reported, too.
        version: returns the version of the code and the hash of its weights; stored in results. None for metrics of
            deblurzoo. It is called before images are measured, so it can load weights.
    """

    function: PictureFunction
    no_reference: bool = False
    version: Callable[[], str] | None = None


METRICS = {
    "psnr": Metric("PSNR", 2, "dB", True, image_psnr),
    "ssim": Metric("SSIM", 4, "", True, image_ssim),
    "ssim_matlab3d": Metric("SSIM 3-D", 4, "", True, image_ssim_matlab3d),
    "mssim": Metric("MSSIM", 4, "", True, image_mssim),
    "psnr_aligned": Metric("PSNR aligned", 2, "dB", True, image_psnr_aligned),
    "ssim_aligned": Metric("SSIM aligned", 4, "", True, image_ssim_aligned),
    "sharpness": Metric("sharpness", 1, "levels²", True, image_sharpness, no_reference=True),
}
"""The built-in metrics by name. Results, tables, CSV, Markdown, the HTML page and W&B support every metric."""
WARPING = "warping"
OF_CLIPS = {WARPING: Figure("warping error", 2, "levels", False)}
"""The figures of consecutive frames, which evaluations add to the metrics, see `deblurzoo.data.consistency`."""


def known_metrics() -> dict[str, Metric]:
    """Return all available metrics by name, in column order: first built-in metrics, then metrics of trusted packages.

    Raises:
        DeblurzooError: an entry of a package's `METRICS` is not a `Metric`.
    """
    return extensions.with_entries("METRICS", METRICS)


def metric(name: str) -> Metric:
    """Return a metric by its name.

    Raises:
        DeblurzooError: the metric is unknown, or its name does not match `FIGURE`.
    """
    if name in OF_CLIPS:
        raise DeblurzooError(f"metric {name} needs consecutive frames: every evaluation of clips measures it, omit it")
    known = METRICS if name in METRICS else known_metrics()
    if name not in known:
        raise DeblurzooError(
            f"metric {name} is unknown: choose from {', '.join(known)}, or trust its package with trust=PACKAGE"
        )
    if not re.fullmatch(FIGURE, name):
        raise DeblurzooError(
            f"metric {name} has an invalid name: use at most 40 characters of a-z, 0-9 and _, starting with a letter"
        )
    return known[name]


def versions(names: Sequence[str]) -> dict[str, str]:
    """Return the version of each named metric that has one, see `Metric`.

    Raises:
        DeblurzooError: the function `version` of a metric fails, or does not return text.
    """
    found = {}
    for name in names:
        if version := metric(name).version:
            try:
                found[name] = version()
            except Exception as error:  # a user's function can raise anything
                reason = f"{type(error).__name__}: {first_line(error)}"
                raise DeblurzooError(f"the version of metric {name} is unknown ({reason})") from error
            if not isinstance(found[name], str) or not found[name].isprintable():
                raise DeblurzooError(f"the version of metric {name} is {found[name]!r}: return one line of text")
    return found


def measured(name: str, image: Image, sharp: Image) -> float:
    """Return the value of a metric for two images, both uint8 (H, W, 3).

    Raises:
        ValueError: the metric's function fails, or its value is not finite or too large.
    """
    try:
        value = float(metric(name).function(image, sharp))
    except DeblurzooError:
        raise
    except Exception as error:  # a user's function can raise anything
        raise ValueError(f"metric {name} failed ({type(error).__name__}: {first_line(error)})") from error
    if not abs(value) < LARGEST:
        ssims = name.startswith("ssim")
        reason = "SSIM needs at least 11 pixels per side" if ssims else f"values must be finite and below {LARGEST:g}"
        raise ValueError(f"metric {name} returned {value}: {reason}")
    return value


def figure(name: str) -> Figure:
    """Return the display properties of a metric; an unknown metric is shown by its name with four decimals."""
    return METRICS.get(name) or OF_CLIPS.get(name) or known_metrics().get(name) or Figure(name, 4, "", True)
