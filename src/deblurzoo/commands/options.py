"""Command-line options that several commands share, and their types."""

import argparse
from collections.abc import Callable

from deblurzoo.files import user_path


def at_least(least: int) -> Callable[[str], int]:
    """Return an argparse type for whole numbers of at least `least`."""

    def whole(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(f"{text} must be a whole number of at least {least}")
        return number

    return whole


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add the required option `--checkpoint`, a trained network."""
    parser.add_argument(
        "--checkpoint",
        type=user_path,
        required=True,
        metavar="CKPT",
        help="run folder, .ckpt file, export, or wandb:ENTITY/PROJECT/NAME:ALIAS",
    )
