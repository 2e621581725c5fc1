"""`deblurzoo import`: convert weights that the authors of a network published to an export."""

import argparse

from deblurzoo.commands.options import add_out
from deblurzoo.files import user_path


def main(arguments: list[str]) -> None:
    """Run `deblurzoo import`."""
    parser = argparse.ArgumentParser(
        "deblurzoo import",
        description="Convert the published weights of a network to an export. The authors' framework is not required.",
    )
    parser.add_argument(
        "source",
        type=user_path,
        metavar="SOURCE",
        help="TensorFlow checkpoint (.index, or its folder), .caffemodel, .mat or .pth",
    )
    parser.add_argument(
        "--network", required=True, choices=("srn", "svrnn", "flow_rnn", "liu2016", "nafnet"), help="network of SOURCE"
    )
    add_out(parser, "folder to create", is_new=True)
    parser.add_argument(
        "--layout",
        choices=("columns", "rows"),
        help="for Caffe and MATLAB: order in which the training read the pixels of an image. columns (default): "
        "trained in MATLAB, like the authors' networks; rows: trained by Caffe in C++ or Python",
    )
    run(parser.parse_args(arguments))


def run(options: argparse.Namespace) -> None:
    """Import the weights; print the numbers of imported and skipped tensors."""
    from deblurzoo.weights import import_weights  # deferred: torch takes seconds to import

    done = import_weights(options.source, options.network, options.out, options.layout)
    print(
        f"imported to {options.out}: {done.network}, {done.tensors} tensors with {done.parameters:,} parameters; "
        f"skipped {done.skipped} tensors that the network does not use"
    )
