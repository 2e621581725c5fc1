"""The kept files of `study/`, and tables of them."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml
from trainings import FOLDERS, HERE, REGIME

from deblurzoo.errors import DeblurzooError
from deblurzoo.files import conf_dir
from deblurzoo.records import Record, load_record
from deblurzoo.reports.blur_sizes import gain_by_blur
from deblurzoo.reports.differences import Difference, difference
from deblurzoo.reports.results import Results
from deblurzoo.reports.results import read as read_results

RECIPE = yaml.safe_load((conf_dir() / "recipe" / "study.yaml").read_text())
BATCH: int = RECIPE["datamodule"]["batch_size"]
LOW, HIGH = REGIME["length"].strip("[]").split(",")
"""Range of the blur lengths of the study."""
TESTS = {
    "kodak": f"Kodak, simulated blur of {LOW} to {HIGH} px",
    "reds_full": "REDS, two frames",
    "reds_half": "REDS at half resolution",
    "gopro_full": "GOPRO, one frame",
    "gopro_half": "GOPRO at half resolution",
}
"""Headings of the tests of `study.tests`."""


_REMEDY = "restore it with git, or delete the folder of the job and train it again"


class Hours(Record):
    """`hours.json` of a job."""

    cpu: float
    """CPU hours of the training."""


class Validation(NamedTuple):
    """A validation of a job, in dB, and the tera multiply-adds until then."""

    step: int
    psnr: float
    gain: float
    tflop: float


def validations(metrics: Path) -> list[Validation]:
    """Return the validations in a job's `metrics.csv`; there is at least one."""
    try:
        found = list(_validations(metrics))
    except (FileNotFoundError, KeyError, ValueError, csv.Error) as error:
        raise _corrupt(metrics) from error
    if not found:
        raise _corrupt(metrics)
    return found


def _validations(metrics: Path) -> Iterator[Validation]:
    spent = 0.0
    with metrics.open(newline="") as file:
        for row in csv.DictReader(file):
            spent = float(row["train/tflop"] or spent)
            if row["val/psnr"]:
                yield Validation(int(row["step"]) + 1, float(row["val/psnr"]), float(row["val/gain"]), spent)


def hours(file: Path) -> float:
    """Return the CPU hours in a job's `hours.json`."""
    return load_record(file, Hours, _REMEDY).cpu


def _corrupt(path: Path) -> DeblurzooError:
    return DeblurzooError(f"{path} is missing or corrupt: {_REMEDY}")


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def value_of(job: Sequence[str], key: str, default: str) -> str:
    """Return the last value of a key in the overrides of a job."""
    values = [word.partition("=")[2] for word in job if word.lstrip("+").startswith(f"{key}=")]
    return values[-1] if values else default


def kept(part: str, name: str, tests: Iterable[str] = TESTS) -> dict[str, Results]:
    """Return the kept results of a job by test; empty if the job is not finished.

    FlowRNN has no results of the GOPRO pair, which has no neighbours.

    Raises:
        DeblurzooError: a result of a finished job is missing or corrupt.
    """
    folder = HERE / FOLDERS[part] / name
    if not folder.exists():
        return {}
    wanted = [test for test in tests if not (name.startswith("flow_rnn") and test.startswith("gopro"))]
    if missing := [file for test in wanted if not (file := folder / test / "results.json").exists()]:
        raise _corrupt(missing[0])
    return {test: read_results(folder / test / "results.json") for test in wanted}


def least_unharmed(results: Iterable[Results]) -> float:
    """Return the lowest PSNR in dB between a sharp image and the image restored from it."""
    return min(row.psnr for one in results for row in one.do_no_harm)


def gain(results: Results) -> Difference:
    """Return the gain in PSNR over the blurry images, with its interval over photos or clips."""
    blurry = [image.model_copy(update={"restored": image.blurry}) for image in results.images]
    found = difference(results.model_copy(update={"images": blurry}), results, "psnr")
    assert found is not None
    return found


def in_words(found: Difference) -> str:
    """Return a difference in dB and, if there is one, its interval."""
    if found.margin is None:
        return f"{found.mean:+.2f}"
    return f"{found.mean:+.3f} ({found.mean - found.margin:+.3f} to {found.mean + found.margin:+.3f})"


def blur_rows(results: dict[str, Results]) -> Iterator[list[str]]:
    """Yield a row for each range of blur lengths: the gain of each network on Kodak, by the heading of its column."""
    columns = [{one.limits: one for one in gain_by_blur(result)} for result in results.values()]
    for limits in dict.fromkeys(limits for column in columns for limits in column):
        first = next(column[limits] for column in columns if limits in column)
        cells = [
            f"{one.gain:+.2f} ({one.interval[0]:+.2f} to {one.interval[1]:+.2f})"
            if one.interval
            else f"{one.gain:+.2f}"
            for column in columns
            if (one := column.get(limits))
        ]
        yield [limits, f"{first.tiles:,}", *cells]


def blur_table(results: dict[str, Results]) -> str:
    """Return a table of gain by blur length, with a column for each network."""
    return table(["blur in pixels", "tiles", *results], blur_rows(results)) if results else ""
