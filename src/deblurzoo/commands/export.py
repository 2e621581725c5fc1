"""`deblurzoo export`: a trained network as safetensors and, with --onnx, as an ONNX file."""

import argparse
import math
from pathlib import Path

from deblurzoo.errors import DeblurzooError
from deblurzoo.export.onnx import TOLERANCE, largest_difference, write_onnx
from deblurzoo.export.safetensors import write_export
from deblurzoo.extensions import add_trust, trust
from deblurzoo.files import new_folder, user_path
from deblurzoo.training.checkpoints import checkpoint_of, load_net, read_trained

ONNX = "model.onnx"


def export(checkpoint: Path, out: Path, onnx: bool) -> dict[str, float]:
    """Write the weights that `deblurzoo evaluate` measures to a new folder; see `docs/export.md`.

    Args:
        checkpoint: a checkpoint, a run folder or an export.
        out: the folder to make; it appears whole or not at all.
        onnx: also write `model.onnx` and check it.

    Returns:
        The largest difference between the ONNX file and torch by size; empty without `onnx`.

    Raises:
        DeblurzooError: the checkpoint cannot be read, `out` exists, or the ONNX file differs by more than 1e-4.
    """
    file = checkpoint_of(checkpoint)
    trained = read_trained(file)
    net = load_net(trained, file).eval()
    with new_folder(out) as folder:
        write_export(folder, net, trained)
        if not onnx:
            return {}
        write_onnx(net, folder / ONNX)
        differences = largest_difference(net, folder / ONNX)
        if not all(math.isfinite(d) and d <= TOLERANCE for d in differences.values()):
            raise DeblurzooError(
                f"the ONNX file differs from torch by {_listed(differences)}, more than {TOLERANCE:g}: nothing was "
                "written; export without --onnx, or report it with the versions of torch and onnxruntime"
            )
    return differences


def _listed(differences: dict[str, float]) -> str:
    return ", ".join(f"{difference:.1e} at {size}" for size, difference in differences.items())


def main(arguments: list[str]) -> None:
    """Run `deblurzoo export`."""
    parser = argparse.ArgumentParser("deblurzoo export", description="Write a trained network for use elsewhere.")
    parser.add_argument(
        "--checkpoint", type=user_path, required=True, metavar="RUN", help="run folder, .ckpt or export"
    )
    parser.add_argument("--out", type=user_path, required=True, metavar="DIR", help="folder to make")
    parser.add_argument("--onnx", action="store_true", help=f"also write {ONNX}, checked against torch")
    add_trust(parser)
    options = parser.parse_args(arguments)
    trust(options.trust)
    differences = export(options.checkpoint, options.out, options.onnx)
    print(f"export in {options.out}: {', '.join(sorted(file.name for file in options.out.iterdir()))}")
    if differences:
        print(f"largest difference between onnxruntime and torch: {_listed(differences)}")
