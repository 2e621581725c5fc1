"""`deblurzoo export`: save a trained network as safetensors and, with --onnx, as an ONNX file."""

import argparse

from deblurzoo.commands.options import add_checkpoint, add_out, add_to_wandb
from deblurzoo.extensions import add_trust, trust


def main(arguments: list[str]) -> None:
    """Run `deblurzoo export`."""
    parser = argparse.ArgumentParser(
        "deblurzoo export", description="Export a trained network to safetensors and ONNX."
    )
    add_checkpoint(parser)
    add_out(parser, "folder to create", is_new=True)
    parser.add_argument("--onnx", action="store_true", help="also write model.onnx, and compare its output with torch")
    parser.add_argument("--half", action="store_true", help="store the weights as float16, in half the space")
    add_to_wandb(parser, "also upload the export to the W&B run of the run folder")
    add_trust(parser)
    run(parser.parse_args(arguments))


def run(options: argparse.Namespace) -> None:
    """Export a checkpoint; print the written files, and by how much the outputs of ONNX Runtime and torch differ."""
    from deblurzoo.export import export, listed  # deferred: torch takes seconds to import
    from deblurzoo.reports.run_folder import run_of_checkpoint
    from deblurzoo.training.checkpoints import checkpoint_of

    trust(options.trust)
    file = checkpoint_of(options.checkpoint)
    source = run_of_checkpoint(file) if options.to_wandb else None
    differences = export(file, options.out, options.onnx, options.half)
    print(f"exported to {options.out}: {', '.join(sorted(file.name for file in options.out.iterdir()))}")
    if differences:
        print(f"largest difference between onnxruntime and torch: {listed(differences)}")
    if source:
        from deblurzoo.reports.wandb import send_export  # deferred: W&B's library takes seconds to import

        send_export(options.out, source, options.to_wandb)
