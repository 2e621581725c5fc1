"""Write `docs/results.md` from the files that finished jobs left in `study/`: `python study/report.py`."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from deblurzoo.files import conf_dir, write_atomically
from study import HERE, REGIME, learnability, study

PAGE = HERE.parent / "docs" / "results.md"
BATCH: int = yaml.safe_load((conf_dir() / "recipe" / "study.yaml").read_text())["datamodule"]["batch_size"]
ENOUGH = 1.0
"""Gain in dB by which a regime counts as learned."""


class Validation(NamedTuple):
    """The last validation of a job, in dB, and the compute spent until then."""

    step: int
    psnr: float
    gain: float
    tflop: float


def last_validation(metrics: Path) -> Validation:
    """Return the last validation in a job's `metrics.csv`."""
    with metrics.open(newline="") as file:
        rows = list(csv.DictReader(file))
    spent = max(float(row["train/tflop"]) for row in rows if row["train/tflop"])
    last = [row for row in rows if row["val/psnr"]][-1]
    return Validation(int(last["step"]) + 1, float(last["val/psnr"]), float(last["val/gain"]), spent)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def value_of(job: Sequence[str], key: str, default: str) -> str:
    """Return the last value of a key in the overrides of a job."""
    values = [word.partition("=")[2] for word in job if word.lstrip("+").startswith(f"{key}=")]
    return values[-1] if values else default


def learnability_rows() -> list[list[str]]:
    """Return a row for each finished job of the learnability table."""
    rows = []
    for name, job in learnability().items():
        metrics = HERE / "learnability" / name / "metrics.csv"
        if not metrics.exists():
            continue
        found = last_validation(metrics)
        low, high = value_of(job, "data.length", "").strip("[]").split(",")
        side = value_of(job, "data.shorter_side", "").replace("null", "as they are")
        loss = next((word for word in job if word.startswith("++model.loss.")), "l1=").removeprefix("++model.loss.")
        rows.append(
            [
                *(value_of(job, "model", ""), f"{low} to {high}", side, loss.partition("=")[0]),
                *(value_of(job, "model.optimizer.eps", "1e-8"), f"{BATCH * found.step:,}"),
                *(f"{found.psnr - found.gain:.2f}", f"{found.gain:+.2f}", f"{found.tflop:.1f}"),
            ]
        )
    return rows


def page() -> str:
    """Return the text of the page."""
    rows = learnability_rows()
    headings = ("network", "blur in pixels", "shorter side", "loss", "Adam's epsilon")
    headings += ("crops seen", "blurry dB", "gain dB", "tera multiply-adds")
    largest = max((float(row[headings.index("gain dB")]) for row in rows), default=0.0)
    reached = f"The largest gain is {largest:.2f} dB, {'at least' if largest >= ENOUGH else 'less than'} {ENOUGH:g} dB."
    low, high = REGIME["length"].strip("[]").split(",")
    regime = f"blur of {low} to {high} pixels, photos with a shorter side of {REGIME['shorter_side']} pixels"
    done = [name for name in study() if (HERE / "jobs" / name).exists()]
    return f"""# Results

Written by `python study/report.py` from the files in [study/](../study/README.md), which describes the question, the
networks, the data and the jobs.

## In which regime do small networks learn?

Networks of about 0.55 million parameters were trained on 91 photos. The gain is over the blurry input, on three fixed
exposures of each of 20 other photos. {len(rows)} of {len(learnability())} jobs are finished.

{table(headings, rows)}
{reached}

The study's regime: {regime}.

## Which ideas help?

{len(done)} of {len(study())} jobs of the study are finished.
"""


def main() -> None:
    """Write the page."""
    write_atomically(PAGE, page().encode())


if __name__ == "__main__":
    main()
