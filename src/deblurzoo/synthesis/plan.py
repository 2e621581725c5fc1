"""Assignment of frames to pairs, and of pairs to clips and splits."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass as checked_dataclass

from deblurzoo.errors import DeblurzooError
from deblurzoo.synthesis.sources import SharpInput

LONGEST = 200
"""Largest number of bytes of a source's name in the names of its clips."""
CONSECUTIVE = {1: -1, 2: 0, 3: 1}
"""The numbers of the pairs in a clip of consecutive exposures of a photo, mapped to offsets from the middle pair."""


@checked_dataclass(frozen=True)
class Cut:
    """Division of sources into windows, clips and splits. A window of frames becomes a pair.

    Args:
        frames: minimum and maximum number N of frames in a window, both odd; N is drawn per clip.
        stride: number of frames from the start of a window to the start of the next window; None uses N (adjacent
            windows).
        clip_length: maximum number of pairs in a clip.
        split: `source` tests on the last sources; `time` tests on the end of each source.
        test_share: fraction used for testing, from 0 to 1: of the sources, or of the frames of each source.
        gap: number of pairs that are left out of each source between training and test frames.
        seed: random seed for N.
        exposures: number of clips that are made of each photo; each clip has `CONSECUTIVE` exposures. None makes a
            single exposure of each photo.
    """

    frames: tuple[int, int] = (11, 11)
    stride: PositiveInt | None = None
    clip_length: PositiveInt = 100
    split: Literal["source", "time"] = "time"
    test_share: float = 0.2
    gap: NonNegativeInt = 5
    seed: NonNegativeInt = 0
    exposures: Annotated[int, Field(gt=0, le=10_000)] | None = None

    def __post_init__(self) -> None:
        least, most = self.frames
        if not (3 <= least <= most and least % 2 == most % 2 == 1):
            raise DeblurzooError(
                f"--frames {least}-{most} must be an odd number of at least 3, or two such numbers in ascending order"
            )
        if not 0 <= self.test_share <= 1:
            raise DeblurzooError(f"--test-share {self.test_share} must be between 0 and 1")


@dataclass(frozen=True)
class Pair:
    """A pair to be synthesized."""

    span: range
    """Numbers of the frames of the source."""
    clip: Path
    """Folder SPLIT/CLIP."""
    number: int
    """Number of the pair in the clip, from 1."""
    clip_of_photo: int | None = None
    """Number of the clip of a photo with several clips, from 0."""


def plan(sources: list[SharpInput], cut: Cut) -> list[list[Pair]]:
    """Return the pairs of each source, in the order of its frames.

    Raises:
        DeblurzooError: a source is too short for a window, a split would be empty, or `cut.exposures` is set for a
            source that is not a photo.
    """
    films = [source for source in sources if source.kind != "photograph"]
    if cut.exposures and films:
        raise DeblurzooError(
            f"--exposures {cut.exposures} requires photos, but {films[0].path} is not a photo: leave the option out, "
            "or add --photographs if it is a folder of photos"
        )
    pairs = []
    tests = _share_of(len(sources), cut.test_share)
    for index, (source, name) in enumerate(zip(sources, _names(sources), strict=True)):
        if cut.split == "time":
            parts = _halves(source.frames, cut)
        else:
            parts = [("test" if index >= len(sources) - tests else "train", range(source.frames))]
        if source.kind == "photograph":
            found = [pair for split, part in parts if part for pair in _exposures(Path(split, name), part, cut)]
        else:
            found = list(_clips(name, parts, cut, np.random.default_rng([cut.seed, index])))
        if not found:
            raise DeblurzooError(
                f"{source.path} has {source.frames} frames, too few for a window of {cut.frames[0]} frames in a split: "
                "reduce --frames or --gap, or leave out this source"
            )
        pairs.append(found)
    splits = Counter(pair.clip.parts[0] for found in pairs for pair in found)
    for split, share in (("train", 1 - cut.test_share), ("test", cut.test_share)):
        if share > 0 and not splits[split]:
            raise DeblurzooError(
                f"no pair is left for the {split} split with --split {cut.split}, --test-share {cut.test_share} and "
                f"--gap {cut.gap}: give more or longer sources, or change these values "
                "(--test-share 0 or 1 makes a single split)"
            )
    return pairs


def _names(sources: list[SharpInput]) -> list[str]:
    """Return the name of each source for its clips, of at most `LONGEST` bytes and a number if the name is in use."""
    names: list[str] = []
    for source in sources:
        short = source.name.encode()[:LONGEST].decode(errors="ignore")
        numbered = (f"{short}-{number}" for number in count(2))
        names.append(next(name for name in chain([short], numbered) if name not in names))
    return names


def _exposures(clip: Path, part: range, cut: Cut) -> Iterator[Pair]:
    """Yield the pairs of a photo: a single pair, or clips of consecutive exposures."""
    if cut.exposures is None:
        yield Pair(part, clip, 1)
        return
    for index in range(cut.exposures):
        for number in CONSECUTIVE:
            yield Pair(part, clip.with_name(f"{clip.name}_{index + 1}"), number, index)


def _share_of(count: int, share: float) -> int:
    """Return the number of test sources. If the share is between 0 and 1, each split gets at least one source."""
    return round(count * share) if share in (0, 1) else min(max(round(count * share), 1), count - 1)


def _halves(frames: int, cut: Cut) -> list[tuple[str, range]]:
    """Return the frames for training and the frames for testing, split by time with a gap in between."""
    border = frames - round(frames * cut.test_share)
    gap = cut.gap * max(cut.stride or 0, cut.frames[1]) if 0 < border < frames else 0
    return [("train", range(border - gap)), ("test", range(border, frames))]


def _clips(name: str, parts: list[tuple[str, range]], cut: Cut, rng: np.random.Generator) -> Iterator[Pair]:
    """Yield the pairs of the clips of a source. Different clips have no common frames.

    The number of frames per window is drawn for each clip, from the values for which enough frames are left.
    """
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
