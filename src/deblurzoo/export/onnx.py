"""Export of a network as one ONNX file for images of any size."""

import importlib
import logging
import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deblurzoo.batch import restored_by
from deblurzoo.errors import DeblurzooError
from deblurzoo.nets.base import DeblurNet, pad_mode, restore_any_size

SIZES = ((256, 256), (333, 517))
"""Image sizes (height, width) at which outputs are compared with torch. Only the second size requires padding."""
TOLERANCE = 1e-4
LEAST, LARGEST = 16, 16384
"""Smallest and largest height and width that the file supports, in pixels."""
REMEDY = "pip install 'deblurzoo[onnx]'"


class AnySize(nn.Module):
    """A network that includes padding and cropping: (B, T, 3, H, W) to (B, 3, H, W), for any H and W."""

    def __init__(self, net: DeblurNet) -> None:
        super().__init__()
        self.net, self.multiple, self.mode = net, net.size_multiple, pad_mode(net)

    def forward(self, blur: Tensor) -> Tensor:
        """Return the restored image, like `restore_any_size`.

        H and W are symbolic during export; therefore, this function has no branches that depend on the size.
        """
        batch, frames, _, height, width = blur.shape
        sides = (0, -width % self.multiple, 0, -height % self.multiple)
        padded = F.pad(blur.flatten(0, 1), sides, mode=self.mode)
        # Not -(-size // multiple): ONNX rounds the quotient of negative numbers towards 0.
        padded_size = [(size + self.multiple - 1) // self.multiple * self.multiple for size in (height, width)]
        image = restored_by(self.net, padded.reshape(batch, frames, 3, *padded_size)).image
        return image[..., :height, :width]


def _require_packages() -> None:
    try:
        for name in ("onnx", "onnxscript", "onnxruntime"):
            importlib.import_module(name)
    except ImportError as error:
        raise DeblurzooError(f"ONNX export requires a package that is not installed ({error}): {REMEDY}") from error


def write_onnx(net: DeblurNet, path: Path) -> None:
    """Write a network as an ONNX file with input `blur` (1, T, 3, H, W) in [0, 1] and output `image` (1, 3, H, W).

    The output is not clamped. H and W are dynamic, from 16 to 16384 pixels. The spatial RNN becomes ONNX's Scan.

    Raises:
        DeblurzooError: onnx, onnxscript or onnxruntime is not installed.
    """
    _require_packages()
    sides = {3 + i: torch.export.Dim(name, min=LEAST, max=LARGEST) for i, name in enumerate(("height", "width"))}
    example = torch.zeros(1, net.frames, 3, 67, 131)
    # Suppress the warning about missing torchvision, which is not used here.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    training = net.training
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                AnySize(net).eval(),
                (example,),
                path,
                dynamo=True,
                dynamic_shapes=(sides,),
                input_names=["blur"],
                output_names=["image"],
                external_data=False,
                verbose=False,
            )
    finally:
        net.train(training)


@torch.no_grad()
def largest_difference(net: DeblurNet, path: Path) -> dict[str, float]:
    """For each image size, return the largest difference between onnxruntime's and torch's output for noise.

    Differences are divided by the largest output of torch if it exceeds 1, since rounding grows with the values.

    Raises:
        DeblurzooError: onnx, onnxscript or onnxruntime is not installed.
    """
    _require_packages()
    import onnxruntime  # installed by deblurzoo[onnx]

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    differences = {}
    for height, width in SIZES:
        blur = torch.rand(1, net.frames, 3, height, width, generator=generator)
        (image,) = session.run(None, {"blur": blur.numpy()})
        expected = restore_any_size(net, blur)
        difference = (torch.from_numpy(image) - expected).abs().max() / expected.abs().max().clamp(min=1)
        differences[f"{height}x{width}"] = float(difference)
    return differences
