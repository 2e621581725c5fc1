"""Packing (`deblurzoo data pack`): stores the images of clips as uint8 arrays, so that crops need no decoding.

Each clip has one array of blurry and one array of sharp images; photos have only sharp images. Each array is written to
a temporary file, which is then renamed. `unfinished.json` lists the finished clips and is renamed to `index.json` at
the end. An interrupted or killed run can be resumed; the resulting files are the same as without the interruption.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from deblurzoo.data.batches import shared, told_reader_failures, worker_options
from deblurzoo.data.clips import ClipSource
from deblurzoo.data.frames import Kind
from deblurzoo.data.layout import Pairs
from deblurzoo.data.packs import INDEX, UNFINISHED, Index, LeftOut, PackedClip, stamps
from deblurzoo.data.photos import Photos
from deblurzoo.errors import DeblurzooError, on_interrupt
from deblurzoo.files import LOCK, replace_atomically, take_over, write_atomically
from deblurzoo.media.images import ImageFile, image_size, read_image
from deblurzoo.media.threads import cores

log = logging.getLogger(__name__)


class _Pictures(Dataset[Any]):
    """Full-size images, (H, W, 3) uint8."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Any:
        return shared(torch.from_numpy(read_image(self.paths[index])))


def pack(source: ClipSource, out: Path) -> Index:
    """Pack every clip of a data set into the folder `out`, or resume an unfinished pack; return the index.

    Raises:
        DeblurzooError: `out` contains files other than a pack of this data set, the images of a pair differ in size, an
            image cannot be read, or the disk is full. Finished clips are kept, and partially written files are removed.
    """
    listed = {(split, clip.name): clip for split in source.splits for clip in source.pairs(split) if clip.blur}
    originals = {place: _usable(source, clip) for place, clip in listed.items()}
    planned = {
        place: replace(_expected(place[0], clip, source.kinds), left_out=_left_out(listed[place], clip))
        for place, clip in originals.items()
    }
    packed = _finished(out, source)
    kept = {place: packed[place] for place, plan in planned.items() if _is_kept(packed.get(place), plan, out)}
    todo = [place for place in planned if place not in kept]
    _require_space(out, len(source.kinds) * sum(planned[place].nbytes for place in todo))
    take_over(out)

    def write_index() -> Index:
        clips = [kept[place] for place in planned if place in kept]
        index = Index(source.name, source.protocol, source.blur_folder, source.consecutive, clips)
        write_atomically(out / UNFINISHED, index.encode())
        return index

    index = write_index()  # from here on, the pack is marked as unfinished
    (out / INDEX).unlink(missing_ok=True)
    paths = [path for place in todo for kind in source.kinds for path in originals[place].of(kind)]
    pictures = iter(track(_read(paths), f"packing {source.name}", len(paths), disable=not paths))
    with on_interrupt(lambda: f"{len(kept)} of {len(planned)} clips are packed in {out}; the same command resumes"):
        for place in todo:
            entry = planned[place]
            with told_reader_failures():
                for kind in source.kinds:
                    entry.sha256[kind] = _write(entry, out, kind, originals[place], pictures)
            if damage := entry.damage(out, pixels=True):
                raise DeblurzooError(f"{damage}, directly after writing: the disk of {out} is faulty, use another disk")
            kept[place] = entry
            index = write_index()
    next(pictures, None)  # exhausted: only ends the progress bar
    (out / UNFINISHED).replace(out / INDEX)
    return index


class _Problems(_Pictures):
    """Error messages of images; "" for an image that can be read."""

    def __getitem__(self, index: int) -> Any:
        try:
            read_image(self.paths[index])
        except DeblurzooError as error:
            return str(error)
        return ""


def _usable(source: ClipSource, clip: Pairs) -> Pairs:
    """Return a clip, without photos that cannot be read: training leaves them out as well. A pair must be complete."""
    if not isinstance(source, Photos):
        return clip
    problems = DataLoader(_Problems(list(clip.sharp)), batch_size=None, **worker_options(min(8, cores())))
    unreadable = {frame: problem for frame, problem in zip(clip.frames, problems, strict=True) if problem}
    for problem in unreadable.values():
        log.warning("left out: %s", problem)
    if len(unreadable) == len(clip.frames):
        raise DeblurzooError(f"no photo of {source.key}.root={source.root} can be read: give other photos")
    return clip.without(unreadable)


def _left_out(clip: Pairs, usable: Pairs) -> list[LeftOut]:
    """Return the photos of a clip that cannot be read."""
    kept = {*usable.frames}
    photos = [ImageFile(path) for frame, path in zip(clip.frames, clip.sharp, strict=True) if frame not in kept]
    return [(*photo.stored(), _size_if_known(photo)) for photo in photos]


def _size_if_known(photo: ImageFile) -> tuple[int, int] | None:
    with suppress(DeblurzooError):
        return photo.size()
    return None


def _read(paths: list[Path]) -> Iterator[Tensor]:
    """Return an iterator over the images. Workers decode the images, because kornia-rs holds the GIL.

    The workers are forked when this function is called, before this process starts any thread.
    """
    loader = DataLoader(_Pictures(paths), batch_size=None, **worker_options(min(8, cores())))
    return iter(loader) if paths else iter(())


def _expected(split: str, clip: Pairs, kinds: tuple[Kind, ...]) -> PackedClip:
    """Return the index entry of a clip without checksums. Image sizes are read from the file headers."""
    sizes = []
    for blur, sharp in zip(clip.blur, clip.sharp, strict=True):
        size, other = image_size(blur), image_size(sharp)
        if size != other:
            raise DeblurzooError(
                f"{sharp} is {other[0]}x{other[1]} but {blur} is {size[0]}x{size[1]}, and the images of a pair must "
                "have the same size: fix or remove the pair (`deblurzoo data check` lists all such pairs)"
            )
        sizes.append(size)
    found = {kind: stamps(clip.of(kind)) for kind in kinds}
    return PackedClip(split, clip.name, list(clip.frames), sizes, found, {})


def _finished(out: Path, source: ClipSource) -> dict[tuple[str, str], PackedClip]:
    """Return the index entries of the clips that an earlier run packed into `out`."""
    indices = [out / name for name in (UNFINISHED, INDEX) if (out / name).exists()]
    if not indices and out.exists() and (not out.is_dir() or any(file.name != LOCK for file in out.iterdir())):
        raise DeblurzooError(f"out={out} exists and is not a pack: choose another folder")
    if not indices:
        return {}
    index = Index.read(indices[0])
    theirs, ours = (index.dataset, index.blur_folder), (source.name, source.blur_folder)
    if theirs != ours:
        raise DeblurzooError(f"out={out} is a pack of {' '.join(theirs)}/, not of {' '.join(ours)}/: set another out")
    return {(clip.split, clip.name): clip for clip in index.clips}


def _is_kept(packed: PackedClip | None, plan: PackedClip, out: Path) -> bool:
    """Whether the arrays of a clip exist, are intact, and match the current image files."""
    return packed is not None and replace(packed, sha256={}) == plan and packed.damage(out, pixels=True) is None


def _require_space(out: Path, needed: int) -> None:
    """Raise a DeblurzooError if `needed` bytes do not fit on the disk of `out`."""
    folder = next(parent for parent in (out.resolve(), *out.resolve().parents) if parent.is_dir())
    if needed > (free := shutil.disk_usage(folder).free):
        raise DeblurzooError(
            f"out={out} needs {needed / 1e9:.2f} GB, but its disk has only {free / 1e9:.2f} GB free: free disk space "
            "or choose another folder"
        )


def _write(entry: PackedClip, out: Path, kind: Kind, clip: Pairs, pictures: Iterator[Tensor]) -> str:
    """Write the blurry or the sharp images of a clip to a .npy file, and return the SHA-256 of the pixels.

    Only one image is in memory at a time. The file is not memory-mapped, because a full disk would then kill the
    process instead of raising an error.
    """
    sha256 = hashlib.sha256()

    def write(file: BinaryIO) -> None:
        header = {"descr": "|u1", "fortran_order": False, "shape": entry.shape}
        np.lib.format.write_array_header_1_0(file, header)
        for path, (width, height) in zip(clip.of(kind), entry.sizes, strict=True):
            picture = next(pictures).numpy()
            if picture.shape != (height, width, 3):
                raise DeblurzooError(f"{path} changed during packing: pack again, and do not modify the images")
            sha256.update(picture.data)
            file.write(picture.data)
        file.flush()
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):  # verification then reads the disk, not the page cache
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    replace_atomically(entry.file(out, kind), write)
    return sha256.hexdigest()
