"""`deblurzoo weights`: list the trained networks that are part of deblurzoo, with their scores."""

import argparse
from typing import Annotated

from pydantic import Field
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from deblurzoo import shipped
from deblurzoo.records import Count, Record, load_record

SCORES = "scores.json"


class Score(Record):
    """The means of an evaluation over its images, in dB."""

    test: str
    """Name of the test, such as `Kodak, 2 to 6 px`."""
    images: Count
    blurry: float
    gain: float
    """PSNR of the restored minus PSNR of the blurry images."""
    margin: float | None
    """Half the width of the 95 % interval of the gain; None if there are too few photos or clips."""
    unharmed: float
    """Mean PSNR between sharp images and the images restored from them."""
    least_unharmed: float
    """The lowest of these PSNR."""


class Scores(Record):
    """`scores.json` of a network, written by `study/report.py`."""

    parameters: Count
    trained: str
    """The training data and the number of crops seen."""
    tests: Annotated[list[Score], Field(min_length=1)]


def main(arguments: list[str]) -> None:
    """Run `deblurzoo weights`."""
    argparse.ArgumentParser(
        "deblurzoo weights",
        description="List the trained networks that are part of deblurzoo: names for --checkpoint, checkpoint= and "
        "init=, parameters, gain in dB over the blurry images of each test, and harm to sharp images.",
    ).parse_args(arguments)
    found = {
        name: load_record(shipped.FOLDER / name / SCORES, Scores, "install deblurzoo again") for name in shipped.names()
    }
    for name, scores in found.items():
        default = ", the default of `deblurzoo deblur`" if name == shipped.DEFAULT else ""
        print(f"{name}{default}: {scores.parameters:,} parameters, {scores.trained}")
        table = Table(box=SIMPLE_HEAD)
        for heading in ("test", "images", "blurry dB", "gain dB", "95 % interval", "sharp input dB (lowest)"):
            table.add_column(heading, justify="left" if heading == "test" else "right", no_wrap=True)
        for score in scores.tests:
            low, high = score.gain - (score.margin or 0), score.gain + (score.margin or 0)
            interval = "" if score.margin is None else f"{low:+.2f} to {high:+.2f}"
            unharmed = f"{score.unharmed:.1f} ({score.least_unharmed:.1f})"
            values = f"{score.blurry:.2f}", f"{score.gain:+.2f}", interval, unharmed
            table.add_row(score.test, str(score.images), *values)
        Console(width=1000).print(table)
        print(f"model card: {shipped.FOLDER / name / 'README.md'}\n")
    if not found:
        print("no trained network is part of this version")
