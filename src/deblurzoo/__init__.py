"""deblurzoo: motion-deblurring networks, trained and compared on the same data under the same rules."""

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

from deblurzoo.allocator import keep_memory
from deblurzoo.version import __version__

if TYPE_CHECKING:
    from deblurzoo.restore import Device, Precision
    from deblurzoo.restore.restorer import Restorer


__all__ = ["__version__", "load"]

keep_memory()  # before torch allocates memory


def load(
    path: str | PathLike[str] | None = None,
    device: "Device" = "auto",
    precision: "Precision" = "fp32",
    memory: int | None = None,
    trust: str | Sequence[str] = (),
    self_ensemble: bool = False,
) -> "Restorer":
    """Load a trained network as a function of images.

    Args:
        path: a checkpoint, an exported network, or a run folder, whose newest checkpoint is loaded; `~` is expanded. Or
            a name that `deblurzoo weights` lists. None loads the network that `deblurzoo deblur` uses by default.
        trust: packages that may define the network's class, in addition to packages with the entry point
            `deblurzoo.extension`.
        device, precision, memory, self_ensemble: see `deblurzoo.restore.restorer.Restorer`.

    Returns:
        A callable that restores an image or a list of consecutive frames, and returns the same type. Images are RGB
        (H, W, 3), uint8, uint16 or floating point in [0, 1].

    Raises:
        DeblurzooError: the file is missing, corrupt or not written by deblurzoo, or the device is not available.
    """
    from deblurzoo import shipped
    from deblurzoo.errors import DeblurzooError
    from deblurzoo.extensions import trust as trust_packages
    from deblurzoo.files import user_path
    from deblurzoo.restore.restorer import Restorer
    from deblurzoo.training.checkpoints import load_any  # deferred: torch takes seconds to import

    path = path or shipped.DEFAULT
    if path is None:
        raise DeblurzooError(
            "no network is the default: give a checkpoint, a run folder or a name of `deblurzoo weights`"
        )
    trust_packages(trust)
    return Restorer(load_any(user_path(path)), device, precision, memory, self_ensemble)
