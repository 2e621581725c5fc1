"""Fingerprints of image data. A fingerprint stays the same if the image files are moved, copied or packed."""

import hashlib
import json
import os
from functools import cache
from pathlib import Path, PurePath

from deblurzoo.data.clips import Sample, Source
from deblurzoo.data.frames import Frame
from deblurzoo.errors import DeblurzooError, escaped

PROBES = 4
"""Number of samples whose pixels are hashed; decoding all samples would take minutes."""
LOSSY = (".jpg", ".jpeg", ".webp")
"""Formats whose pixels are not hashed, because decoders differ. File names and sizes are hashed for all formats."""


def describe(source: Source, split: str, samples: list[Sample]) -> dict[str, str]:
    """Return a description of samples: `name` and `place` are for display, `fingerprint` is for comparison."""
    origin = source.origin(split)
    folder = os.path.commonpath([Path(place).resolve() for place in origin.values()]) if origin else ""
    place = " ".join(f"{key}={value}" for key, value in origin.items())
    return {"name": escaped(Path(folder).name), "place": place, "fingerprint": fingerprint(samples)}


def fingerprint(samples: list[Sample]) -> str:
    """Return a SHA-256 of the names and file sizes of all images, and of the pixels of a few images.

    A pack has the same fingerprint as the packed image files. Clip names are not hashed, because the clip names
    of `Folder` depend on the location of the images.
    """
    known, sha256 = cache(_stored), hashlib.sha256()
    for sample in samples:
        frames = (*sample.blur, *sample.sharp_frames, *sample.references)
        sha256.update(json.dumps([known(frame) for frame in frames]).encode())
    for sample in samples[:: -(-len(samples) // PROBES)]:
        for frame in (sample.blur[0], sample.sharp):
            if PurePath(known(frame)[0]).suffix.lower() not in LOSSY:
                sha256.update(_pixels(sample, frame))
    return sha256.hexdigest()


def _pixels(sample: Sample, frame: Frame) -> bytes:
    """Return the pixels of an image; none of a photo that cannot be read, which training replaces by another one."""
    try:
        return frame.read().tobytes()
    except DeblurzooError:
        if sample.simulated:
            return b""
        raise


def _stored(frame: Frame) -> tuple[str, int]:
    return frame.stored()
