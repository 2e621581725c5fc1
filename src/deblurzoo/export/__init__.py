"""Export of a trained network as safetensors and, optionally, ONNX."""

import math
from pathlib import Path

from torch import Tensor

from deblurzoo.errors import DeblurzooError
from deblurzoo.export.onnx import TOLERANCE, largest_difference, write_onnx
from deblurzoo.export.safetensors import write_export
from deblurzoo.files import new_folder
from deblurzoo.training.checkpoints import checkpoint_of, load_net, read_trained

ONNX = "model.onnx"


def export(checkpoint: Path, out: Path, onnx: bool, half: bool = False) -> dict[str, float]:
    """Create a folder with the weights that `deblurzoo evaluate` uses; see `docs/export.md`.

    Args:
        checkpoint: a checkpoint, a run folder or an export.
        out: folder to create; it is written completely or not at all.
        onnx: whether to also write `model.onnx` and check it.
        half: whether to round the weights to float16, which takes half the space. They are loaded as float32.

    Returns:
        For each image size, the largest difference between the ONNX file's and torch's outputs; empty without `onnx`.

    Raises:
        DeblurzooError: the checkpoint cannot be read, `out` exists, or the outputs differ by more than 1e-4.
    """
    file = checkpoint_of(checkpoint)
    trained = read_trained(file)
    net = load_net(trained, file).eval()
    if half:
        net.load_state_dict({name: _rounded(name, tensor) for name, tensor in net.state_dict().items()})
    with new_folder(out) as folder:
        write_export(folder, net, trained, half)
        if not onnx:
            return {}
        write_onnx(net, folder / ONNX)
        differences = largest_difference(net, folder / ONNX)
        if not all(math.isfinite(d) and d <= TOLERANCE for d in differences.values()):
            raise DeblurzooError(
                f"the outputs of the ONNX file and of torch differ by {listed(differences)}, more than {TOLERANCE:g}; "
                "nothing was written: export without --onnx, and report the versions of torch and onnxruntime"
            )
    return differences


def _rounded(name: str, tensor: Tensor) -> Tensor:
    """Return a tensor of floats rounded to float16; raise a DeblurzooError if a value is too large."""
    if not tensor.is_floating_point():  # such as BatchNorm's counter
        return tensor
    rounded = tensor.half()
    if not rounded.isfinite().all():
        raise DeblurzooError(f"{name} has values above 65504, the largest value of float16: export without --half")
    return rounded.to(tensor.dtype)


def listed(differences: dict[str, float]) -> str:
    """Return differences by image size as text."""
    return ", ".join(f"{difference:.1e} at {size}" for size, difference in differences.items())
