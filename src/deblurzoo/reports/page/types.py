"""What a page is made of: evaluations, failed runs, and the networks of one section."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from deblurzoo.reports.papers import published_figures
from deblurzoo.reports.results import Results
from deblurzoo.reports.run_folder import run_of

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8a8a8a")
"""Okabe and Ito's palette, which colour-blind readers can tell apart, without its black and yellow."""

_INKS = ("#fff", "#000", "#000", "#000", "#000", "#000", "#000")


@dataclass(frozen=True)
class Evaluation:
    """One network measured on one set of pictures.

    Args:
        name: how the page calls it.
        run: its run folder with `csv/version_N/metrics.csv`; None: no training curves.
        folder: the folder of `results.json`, with `restored/` and `side_by_side/`.
        results: of that file.
        paper: the paper's figures under the same conditions, by names of metrics.
    """

    name: str
    run: Path | None
    folder: Path
    results: Results
    paper: dict[str, float]

    @classmethod
    def of(cls, file: Path, results: Results) -> Self:
        """Return the evaluation that wrote `results.json` into a run folder, at `evaluate/KIND/results.json`."""
        return cls(results.name, run_of(file), file.parent, results, published_figures(results))


@dataclass(frozen=True)
class Network:
    """An evaluation with the number and colour that it has in all tables and figures."""

    evaluation: Evaluation
    name: str
    number: int

    @property
    def results(self) -> Results:
        """Its `results.json`."""
        return self.evaluation.results

    @property
    def colour(self) -> str:
        """Its colour; from the eighth network on colours come again, and numbers tell networks apart."""
        return COLOURS[(self.number - 1) % len(COLOURS)]

    @property
    def ink(self) -> str:
        """The colour of text on its colour."""
        return _INKS[(self.number - 1) % len(_INKS)]


def networks(evaluations: list[Evaluation], numbers: dict[str, int]) -> list[Network]:
    """Return the networks of a section; of equal names the second gets ` (2)`.

    Args:
        evaluations: those of equal conditions.
        numbers: names and numbers of earlier sections, from 1 on; new names are added.
    """
    seen: Counter[str] = Counter()
    found = []
    for evaluation in evaluations:
        seen[evaluation.name] += 1
        name = evaluation.name + (f" ({seen[evaluation.name]})" if seen[evaluation.name] > 1 else "")
        found.append(Network(evaluation, name, numbers.setdefault(name, len(numbers) + 1)))
    return found
