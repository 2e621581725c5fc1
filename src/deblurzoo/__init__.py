"""deblurzoo: motion-deblurring networks, trained and compared on the same data under the same rules."""

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

from deblurzoo.version import __version__

if TYPE_CHECKING:
    from deblurzoo.restore import Device, Precision
    from deblurzoo.restore.restorer import Restorer


__all__ = ["__version__", "load"]


def load(
    path: str | PathLike[str],
    device: "Device" = "auto",
    precision: "Precision" = "fp32",
    memory: int | None = None,
    trust: str | Sequence[str] = (),
) -> "Restorer":
    """Load a trained network as a function of pictures.

    Args:
        path: a checkpoint, a run folder, whose newest checkpoint is taken, or an export; `~` is the home folder.
        trust: packages, besides those with the entry point `deblurzoo.extension`, that may have the network's class.
        device, precision, memory: as in `deblurzoo.restore.restorer.Restorer`.

    Returns:
        What is called with a picture (H, W, 3) RGB, uint8, uint16 or floating in [0, 1], or with a list of consecutive
        frames, and returns the same kind.

    Raises:
        DeblurzooError: the file is missing, damaged or not ours, or there is no such device.
    """
    from deblurzoo.extensions import trust as trust_packages
    from deblurzoo.files import user_path
    from deblurzoo.restore.restorer import Restorer
    from deblurzoo.training.checkpoints import load_any  # torch takes seconds to import

    trust_packages(trust)
    return Restorer(load_any(user_path(path)), device, precision, memory)
