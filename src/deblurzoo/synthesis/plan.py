"""Which pairs are made of which frames, and into which split they go."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass as checked_dataclass

from deblurzoo.errors import DeblurzooError
from deblurzoo.synthesis.sources import SharpInput


@checked_dataclass(frozen=True)
class Cut:
    """How sources are cut into windows, clips and splits.

    Args:
        frames: least and most frames N of a window, both odd; each clip draws its own N.
        stride: frames from one window to the next; None takes N, so that windows follow each other.
        clip_length: pairs in a clip at most.
        split: `source` puts the last ones of several sources into the test split, `time` the end of each source.
        test_share: how much of the sources, or of each one's time, is for testing: 0 to 1.
        gap: pairs left out between the splits of a source.
        seed: of the draws of N.
    """

    frames: tuple[int, int] = (11, 11)
    stride: PositiveInt | None = None
    clip_length: PositiveInt = 100
    split: Literal["source", "time"] = "time"
    test_share: float = 0.2
    gap: NonNegativeInt = 5
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        least, most = self.frames
        if not (3 <= least <= most and least % 2 == most % 2 == 1):
            raise DeblurzooError(
                f"--frames {least}-{most} must be an odd number from 3, or two, the smaller first: set others"
            )
        if not 0 <= self.test_share <= 1:
            raise DeblurzooError(f"--test-share {self.test_share} must be from 0 to 1: set another")


@dataclass(frozen=True)
class Pair:
    """One blurry and one sharp picture to be made."""

    span: range
    """The frames of the source that it is made of."""
    clip: Path
    """SPLIT/CLIP."""
    number: int
    """In its clip, from 1."""


def plan(sources: list[SharpInput], cut: Cut) -> list[list[Pair]]:
    """Return the pairs of each source, in the order of its frames.

    Raises:
        DeblurzooError: a source is too short for a window, or a split would be empty.
    """
    pairs = []
    tests = _share_of(len(sources), cut.test_share)
    for index, (source, name) in enumerate(zip(sources, _names(sources), strict=True)):
        if cut.split == "time":
            parts = _halves(source.frames, cut)
        else:
            parts = [("test" if index >= len(sources) - tests else "train", range(source.frames))]
        if source.kind == "photograph":
            found = [Pair(part, Path(split, name), 1) for split, part in parts if part]
        else:
            found = list(_clips(name, parts, cut, np.random.default_rng([cut.seed, index])))
        if not found:
            raise DeblurzooError(
                f"{source.path} has {source.frames} frames, too few for a window of {cut.frames[0]} in a split: "
                "set smaller --frames or --gap, or leave it out"
            )
        pairs.append(found)
    splits = Counter(pair.clip.parts[0] for found in pairs for pair in found)
    for split, share in (("train", 1 - cut.test_share), ("test", cut.test_share)):
        if share > 0 and not splits[split]:
            raise DeblurzooError(
                f"no pair is left for the {split} split with --split {cut.split}, --test-share {cut.test_share} and "
                f"--gap {cut.gap}: give more or longer sources, or other values"
            )
    return pairs


def _names(sources: list[SharpInput]) -> list[str]:
    """Return what the clips of each source are called after, numbered where its name is taken already."""
    names: list[str] = []
    for source in sources:
        numbered = (f"{source.name}-{number}" for number in count(2))
        names.append(next(name for name in chain([source.name], numbered) if name not in names))
    return names


def _share_of(count: int, share: float) -> int:
    """Return a share of a number of sources, leaving at least one on each side if there is a share on it."""
    return round(count * share) if share in (0, 1) else min(max(round(count * share), 1), count - 1)


def _halves(frames: int, cut: Cut) -> list[tuple[str, range]]:
    """Split frames by time: training, then a gap, then testing."""
    border = frames - round(frames * cut.test_share)
    gap = cut.gap * max(cut.stride or 0, cut.frames[1]) if 0 < border < frames else 0
    return [("train", range(border - gap)), ("test", range(border, frames))]


def _clips(name: str, parts: list[tuple[str, range]], cut: Cut, rng: np.random.Generator) -> Iterator[Pair]:
    """Cut each part into clips that share no frame; a clip has one N, drawn among those that fit."""
    clip = 0
    for split, part in parts:
        start = part.start
        while fitting := [n for n in range(cut.frames[0], cut.frames[1] + 1, 2) if start + n <= part.stop]:
            frames = int(rng.choice(fitting))
            stride = cut.stride or frames
            count = min(cut.clip_length, (part.stop - start - frames) // stride + 1)
            for i in range(count):
                span = range(start + i * stride, start + i * stride + frames)
                yield Pair(span, Path(split, f"{name}_{frames:02d}_{clip:02d}"), i + 1)
            start += (count - 1) * stride + max(frames, stride)
            clip += 1
