"""Data types of the page: evaluations and networks."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from deblurzoo.reports.papers import published_figures
from deblurzoo.reports.results import Results
from deblurzoo.reports.run_folder import run_of

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8a8a8a")
"""Okabe and Ito's palette for colour-blind readers, with gray in place of black and yellow."""

_INKS = ("#fff", "#000", "#000", "#000", "#000", "#000", "#000")


@dataclass(frozen=True)
class Evaluation:
    """A network measured on one set of images.

    Args:
        name: displayed name.
        run: run folder with `csv/version_N/metrics.csv`; None for an evaluation without training curves.
        folder: folder of `results.json`, with `restored/` and `side_by_side/`.
        results: content of `results.json`.
        paper: the paper's values under the same conditions, by metric name.
    """

    name: str
    run: Path | None
    folder: Path
    results: Results
    paper: dict[str, float]

    @classmethod
    def of(cls, file: Path, results: Results) -> Self:
        """Return the evaluation of a `results.json`; `run` is set if the path is RUN/evaluate/KIND/results.json."""
        return cls(results.name, run_of(file), file.parent, results, published_figures(results))


@dataclass(frozen=True)
class Network:
    """An evaluation, with the number and colour of its network in all tables and figures."""

    evaluation: Evaluation
    name: str
    number: int

    @property
    def results(self) -> Results:
        """The content of `results.json`."""
        return self.evaluation.results

    @property
    def colour(self) -> str:
        """The colour. Colours repeat from the eighth network on; numbers are unique."""
        return COLOURS[(self.number - 1) % len(COLOURS)]

    @property
    def ink(self) -> str:
        """The colour of text on a background of `colour`."""
        return _INKS[(self.number - 1) % len(_INKS)]


def networks(evaluations: list[Evaluation], numbers: dict[str, int]) -> list[Network]:
    """Return the networks of a section. If two evaluations have the same name, ` (2)` is appended to the second.

    Args:
        evaluations: evaluations under the same conditions.
        numbers: numbers of networks by name, from 1, as assigned in earlier sections; new names are added.
    """
    seen: Counter[str] = Counter()
    found = []
    for evaluation in evaluations:
        seen[evaluation.name] += 1
        name = evaluation.name + (f" ({seen[evaluation.name]})" if seen[evaluation.name] > 1 else "")
        found.append(Network(evaluation, name, numbers.setdefault(name, len(numbers) + 1)))
    return found
