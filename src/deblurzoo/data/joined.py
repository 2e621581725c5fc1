"""Data sets that consist of other data sets. For example, the SVRNN paper trains on GOPRO and DVD together."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from deblurzoo.data.clips import ClipSource, Sample, Source
from deblurzoo.errors import DeblurzooError

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Joined(Source):
    """Several data sets as one. Each clip name is prefixed with the key of its data set.

    Args:
        packed: a folder with one pack per data set, in subfolders named after the data sets.
        weights: weight of each data set. The share of a data set in the training samples is its weight divided by the
            sum of all weights. Data sets without a weight are left out. None draws all samples equally often,
            regardless of their data set.
        test: key of the data set for validation and testing, with or without a weight. None validates and tests on all
            data sets that are trained on and have a test split.
        datasets: data sets by key.
    """

    def __init__(
        self,
        packed: str | None = None,
        weights: dict[str, Weight] | None = None,
        test: str | None = None,
        **datasets: Source,
    ) -> None:
        super().__init__()
        _require_known(datasets, weights, test)
        self.weights = weights and {key: weights[key] for key in datasets if weights.get(key)}
        trained = {key: datasets[key] for key in self.weights or datasets}
        used = {key: part for key, part in datasets.items() if key in trained or key == test}
        for key, part in used.items():
            part.key = f"data.{key}"
            if packed and isinstance(part, ClipSource) and not part.packed:
                part.use_pack(str(Path(packed) / part.name))
        self.parts = tuple(used.values())
        tested = {test: datasets[test]} if test else {key: x for key, x in trained.items() if "test" in x.splits}
        self.datasets = {"train": trained, "test": tested}
        """The data sets of each split by key."""
        (first, leader), *others = (tested or trained).items()
        for key, part in others:
            if part.measure != leader.measure:
                raise DeblurzooError(
                    f"data.{key}.protocol={part.protocol} computes metrics differently from data.{first}: choose "
                    "another protocol"
                )
        self.name = "_".join(part.name for part in self.parts)
        self.measure = leader.measure
        self.protocol = "+".join(part.protocol for part in (tested or trained).values())
        self.blur_folder = "+".join(part.blur_folder for part in self.parts)
        self.official = {
            split: {
                f"{key}_{clip}": frames
                for key, part in parts.items()
                for clip, frames in part.official.get(split, {}).items()
            }
            for split, parts in self.datasets.items()
        }

    def origin(self, split: str) -> dict[str, str]:
        """Return the folders or packs of all data sets of a split by config key."""
        return {key: place for part in self.datasets[split].values() for key, place in part.origin(split).items()}

    def incomplete_clips(self, split: str) -> list[str]:
        """Return the official clips that lack frames. Results on incomplete clips are not comparable with papers."""
        return [f"{key}_{clip}" for key, part in self.datasets[split].items() for clip in part.incomplete_clips(split)]

    def samples(self, split: str, frames: int) -> list[Sample]:
        """Return the samples of all data sets of a split. Each data set uses its own protocol."""
        if not self.datasets[split]:
            raise DeblurzooError(
                f"no data set has a {split} split: set its {split} folders, or data.test to another data set"
            )
        return [
            replace(sample, clip=f"{key}_{sample.clip}")
            for key, part in self.datasets[split].items()
            for sample in part.samples(split, frames)
        ]


def _require_known(datasets: dict[str, Source], weights: dict[str, Weight] | None, test: str | None) -> None:
    """Raise a DeblurzooError if there is nothing to join, or if a weight or `test` is not of one of the data sets."""
    if weights is None and len(datasets) < 2:
        raise DeblurzooError(
            f"data joins {len(datasets)} data sets, but at least two are required: set data=gopro_dvd, for example"
        )
    for place, key in [*(("data.weights", key) for key in weights or ()), *([("data.test", test)] if test else [])]:
        if key not in datasets:
            raise DeblurzooError(f"{place}: there is no data set {key}: choose from {', '.join(datasets)}")
    if weights is not None and not any(weights.values()):
        raise DeblurzooError(f"data.weights={weights} has no positive weight: set a weight for at least one data set")
