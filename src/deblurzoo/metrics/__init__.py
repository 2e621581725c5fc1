"""Metrics: the table METRICS, and the entries that trusted packages add to it."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from deblurzoo import extensions
from deblurzoo.errors import DeblurzooError, first_line
from deblurzoo.media import Image
from deblurzoo.metrics.mssim import image_mssim
from deblurzoo.metrics.psnr_ssim import image_psnr, image_ssim, image_ssim_matlab3d

PictureFunction = Callable[[Image, Image], float]
"""From an image and the sharp one, both uint8 (H, W, 3), to a figure."""
FIGURE = r"^[a-z][a-z0-9_]{0,39}$"
"""The pattern of a figure's name."""
LARGEST = 1e9
"""Figures are below it: JSON and tables hold no others."""


@dataclass(frozen=True)
class Figure:
    """How a figure is shown.

    Args:
        heading: its column's.
        digits: after the point.
        unit: such as dB; empty if it has none.
        higher_is_better: whether the best is the highest.
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
        """Return a value with its digits, without the unit."""
        return f"{value:.{self.digits}f}"


@dataclass(frozen=True)
class Metric(Figure):
    """A figure that can be measured.

    Args:
        function: from an image and the sharp one, both uint8 (H, W, 3), to a finite number. It is called in threads.
    """

    function: PictureFunction


METRICS = {
    "psnr": Metric("PSNR", 2, "dB", True, image_psnr),
    "ssim": Metric("SSIM", 4, "", True, image_ssim),
    "ssim_matlab3d": Metric("SSIM 3-D", 4, "", True, image_ssim_matlab3d),
    "mssim": Metric("MSSIM", 4, "", True, image_mssim),
}
"""Ours, by name. An entry is in results, tables, CSV, Markdown, page and W&B."""


def known_metrics() -> dict[str, Metric]:
    """Return all that can be measured here, by name, in the order of their columns: ours, then trusted packages'.

    Raises:
        DeblurzooError: something in a package's `METRICS` is no `Metric`.
    """
    return extensions.with_entries("METRICS", METRICS)


def metric(name: str) -> Metric:
    """Return a metric by its name.

    Raises:
        DeblurzooError: there is none of that name, or the name cannot stand in a file.
    """
    known = METRICS if name in METRICS else known_metrics()
    if name not in known:
        raise DeblurzooError(
            f"metric {name} is unknown: choose from {', '.join(known)}, or trust the package that has it: trust=PACKAGE"
        )
    if not re.fullmatch(FIGURE, name):
        raise DeblurzooError(f"metric {name} must be called by at most 40 of a-z, 0-9 and _, a letter first: rename it")
    return known[name]


def measured(name: str, image: Image, sharp: Image) -> float:
    """Return a metric of two images, both uint8 (H, W, 3).

    Raises:
        ValueError: its function fails, or gives no number that results can hold.
    """
    try:
        value = float(metric(name).function(image, sharp))
    except DeblurzooError:
        raise
    except Exception as error:  # whatever somebody's function raises
        raise ValueError(f"metric {name} cannot be taken ({type(error).__name__}: {first_line(error)})") from error
    if not abs(value) < LARGEST:
        ssims = name.startswith("ssim")
        reason = "SSIMs need 11 pixels on each side" if ssims else f"figures are finite and below {LARGEST:g}"
        raise ValueError(f"metric {name} gave {value}: {reason}")
    return value


def figure(name: str) -> Figure:
    """Return how a figure of a file is shown: one that is unknown here by its name, with four digits."""
    return METRICS.get(name) or known_metrics().get(name) or Figure(name, 4, "", True)
