"""Command-line options that several commands share, and their types."""

import argparse
from collections.abc import Callable
from pathlib import Path

from deblurzoo.files import require_output, user_path


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


def _project(text: str) -> str:
    """Argparse type for a project of W&B."""
    from deblurzoo.records import require_project  # deferred: pydantic takes a while to import

    try:
        return require_project(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_to_wandb(parser: argparse.ArgumentParser, purpose: str) -> None:
    """Add the option `--to-wandb`, a project of W&B."""
    parser.add_argument("--to-wandb", type=_project, metavar="[ENTITY/]PROJECT", help=purpose)


def add_project(parser: argparse.ArgumentParser, option: str, purpose: str) -> None:
    """Add an option that is a project of W&B with its entity."""

    def project(text: str) -> str:
        if "/" not in _project(text):
            raise argparse.ArgumentTypeError(f"{text!r} is not a project of W&B with its entity: give ENTITY/PROJECT")
        return text

    parser.add_argument(option, type=project, metavar="ENTITY/PROJECT", help=purpose)


def add_out(parser: argparse.ArgumentParser, purpose: str, is_new: bool = False, default: Path | None = None) -> None:
    """Add the option `--out`, a folder; it is required unless it has a default. For `is_new`, see `require_output`."""
    parser.add_argument(
        "--out",
        type=output("--out", is_new=is_new),
        required=default is None,
        default=default and str(default),  # argparse checks texts alone
        metavar="DIR",
        help=purpose,
    )


def output(option: str, is_folder: bool = True, is_new: bool = False) -> Callable[[str], Path]:
    """Return an argparse type for paths of results, which are checked before the work, see `require_output`."""

    def path(text: str) -> Path:
        found = user_path(text)
        require_output(found, f"{option} {text}", is_folder, is_new)
        return found

    return path


def add_checkpoint(parser: argparse.ArgumentParser, required: bool = True, default: str | None = None) -> None:
    """Add the option `--checkpoint`, a trained network."""
    parser.add_argument(
        "--checkpoint",
        type=user_path,
        required=required,
        default=default,
        metavar="CKPT",
        help="run folder, .ckpt file, export, wandb:ENTITY/PROJECT/NAME:ALIAS, or a name of `deblurzoo weights`"
        + (f" (default: {default})" if default else ""),
    )
