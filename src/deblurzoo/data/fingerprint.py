"""Which pictures a data set has, told by what stays as it is when they are moved, copied or packed."""

import hashlib
import json
import os
from functools import cache
from pathlib import Path, PurePath

from deblurzoo.data.clips import Sample, Source
from deblurzoo.data.frames import Frame
from deblurzoo.errors import escaped

PROBES = 4
"""Samples whose pixels count: decoding all of them would take minutes."""
LOSSY = (".jpg", ".jpeg", ".webp")
"""Pictures whose pixels do not count, as another decoder may give others; their sizes in bytes do."""


def describe(source: Source, split: str, samples: list[Sample]) -> dict[str, str]:
    """Return which pictures the samples of a split are: `name` and `place` for people, `fingerprint` to compare."""
    origin = source.origin(split)
    folder = os.path.commonpath([Path(place).resolve() for place in origin.values()]) if origin else ""
    place = " ".join(f"{key}={value}" for key, value in origin.items())
    return {"name": escaped(Path(folder).name), "place": place, "fingerprint": fingerprint(samples)}


def fingerprint(samples: list[Sample]) -> str:
    """Return the SHA-256 of the names and sizes in bytes of all picture files, and of the pixels of some.

    A pack has the fingerprint of the pictures that it was made of. Names of clips do not count: where a folder of
    pictures is a clip, its name is that of the folder it lies in.
    """
    known, sha256 = cache(_stored), hashlib.sha256()
    for sample in samples:
        frames = (*sample.blur, *sample.sharp_frames, *sample.references)
        sha256.update(json.dumps([known(frame) for frame in frames]).encode())
    for sample in samples[:: -(-len(samples) // PROBES)]:
        for frame in (sample.blur[0], sample.sharp):
            if PurePath(known(frame)[0]).suffix.lower() not in LOSSY:
                sha256.update(frame.read().data)
    return sha256.hexdigest()


def _stored(frame: Frame) -> tuple[str, int]:
    return frame.stored()
