"""Files that `deblurzoo deblur` restores, paths of the results, and neighbouring frames."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deblurzoo.errors import DeblurzooError, escaped, few_of
from deblurzoo.files import is_folder, real_path
from deblurzoo.media.kinds import OWN_FORMATS, SUFFIXES, VIDEO_SUFFIXES, Kind, kind_of
from deblurzoo.media.naming import below, described, gaps, is_image_file, require_frames, runs
from deblurzoo.restore import video
from deblurzoo.restore.tracks import target_of


@dataclass(frozen=True)
class Job:
    """A file to restore."""

    source: Path
    target: Path
    kind: Kind
    neighbours: tuple[Path | None, Path | None] = (None, None)
    """Files of the next and the previous frame, if the photos of a folder are consecutive frames."""

    @property
    def is_video(self) -> bool:
        """Whether the file is a video."""
        return self.kind.group == "video"

    @property
    def compare(self) -> Path:
        """Path of the comparison, which shows the blurry and the restored file side by side."""
        return self.target.with_name(f"{self.target.stem}.compare{self.target.suffix}")

    def results(self, compare: bool) -> list[Path]:
        """Return the paths of all files to write; `compare` adds the comparison."""
        return [self.target, *([self.compare] if compare else [])]


def find_jobs(inputs: Sequence[Path], out: Path, frames: bool = False, compare: bool = False) -> list[Job]:
    """Return one job per file to restore. Results are written to `out`; the structure of folders is preserved.

    Raises:
        DeblurzooError: a folder contains nothing to restore, or two files with the same frame name; two results have
            the same path; or a result would replace an input.
    """
    jobs: list[Job] = []
    for given in inputs:
        if is_folder(given):
            found = _photos_and_videos(given, out)
            photos = [path for path, kind in found.items() if kind.group == "photo"]
            beside = _neighbours(photos) if frames else {}
            for path, kind in found.items():
                target = _target(out / path.relative_to(given), kind)
                jobs.append(Job(path, target, kind, beside.get(path, (None, None))))
        else:
            jobs.append(Job(given, _target(out / given.name, kind := kind_of(given)), kind))
    given_files = {real_path(job.source) for job in jobs}
    taken: dict[Path, Path] = {}
    for job in jobs:
        for result in job.results(compare):
            if real_path(result) in given_files:
                raise DeblurzooError(f"--out {out} would replace the input {result}: choose another folder")
            if result in taken:
                raise DeblurzooError(
                    f"{job.source} and {taken[result]} would both be saved as {result}: use two --out folders"
                )
            taken[result] = job.source
    return jobs


def _below(folder: Path, out: Path) -> list[Path]:
    """Return the files below a folder, except results in `out`, which may be inside the folder."""
    results = real_path(out)
    files = [path for path in below(folder) if not _is_special(path)]
    if results == real_path(folder):  # `find_jobs` raises an error
        return files
    return [path for path in files if not real_path(path).is_relative_to(results)]


def _is_special(path: Path) -> bool:
    """Whether a path is a pipe, socket or device; False if the system cannot tell, which its own job reports."""
    try:
        return not (path.is_file() or path.is_dir() or path.is_symlink())
    except OSError:
        return False


def _photos_and_videos(folder: Path, out: Path) -> dict[Path, Kind]:
    """Return the files to restore below a folder; print the names of the other files."""
    found = {path: kind_of(path) for path in _below(folder, out)}
    wanted = {path: kind for path, kind in found.items() if kind.group != "other" or _has_known_suffix(path)}
    if not wanted:
        raise DeblurzooError(f"{folder} contains no photos or videos: choose another folder")
    if others := [escaped(path.relative_to(folder)) for path in found if path not in wanted]:
        print(f"{folder}: files that are neither photos nor videos are skipped: {few_of(others)}")
    return wanted


def _has_known_suffix(path: Path) -> bool:
    return path.suffix.lower() in (*SUFFIXES, *VIDEO_SUFFIXES)


def _target(target: Path, kind: Kind) -> Path:
    """Return the path of a result: the input's, with a further suffix if the result has another format."""
    if kind.group == "video":
        return target_of(target)
    return target if kind.name in ("", "MPO", *OWN_FORMATS) else target.with_name(f"{target.name}.png")


def _clips(files: Iterable[Path]) -> dict[Path, list[Path]]:
    """Return the frames of each folder in natural order; videos are ignored."""
    clips: dict[Path, list[Path]] = {}
    for path in files:
        if is_image_file(path):
            clips.setdefault(path.parent, []).append(path)
    return {folder: list(require_frames(clip).values()) for folder, clip in clips.items()}


def _neighbours(files: Iterable[Path]) -> dict[Path, tuple[Path | None, Path | None]]:
    """Return the next and the previous frame of each frame. Neighbours are in one folder, with no gap between them."""
    found: dict[Path, tuple[Path | None, Path | None]] = {}
    for clip in _clips(files).values():
        for run in runs(len(clip), gaps([frame.stem for frame in clip])):
            for index in run:
                following, previous = (clip[i] if i in run else None for i in (index + 1, index - 1))
                found[clip[index]] = following, previous
    return found


def notes(jobs: list[Job], reads: int, frames: bool) -> list[str]:
    """Return notes for the user about losses in videos and about missing neighbouring frames."""
    notes = [note for job in jobs if job.is_video for note in _losses(job.source)]
    if reads == 1:
        return notes
    if any(job.is_video for job in jobs) or frames:
        notes.append(f"the network reads {reads} frames: the last frame of a video is also used as its own next frame")
    if not frames and not all(job.is_video for job in jobs):
        notes.append(
            f"the network reads {reads} frames: each photo is also used as its own neighbours "
            "(add --frames if the photos of a folder are consecutive frames)"
        )
    return notes


def _losses(path: Path) -> list[str]:
    try:
        losses = video.inspect(path).losses
    except DeblurzooError:  # its own job reports this
        return []
    return [f"{path}: {', '.join(losses)} in the result"] if losses else []


def gap_notes(inputs: Iterable[Path], out: Path) -> list[str]:
    """Return a message for each folder whose frames have gaps."""
    clips = [clip for given in inputs if is_folder(given) for clip in _clips(_below(given, out)).items()]
    found = [(folder, gaps([frame.stem for frame in clip])) for folder, clip in clips]
    return [
        f"{folder} lacks {described(missing)}: no neighbours are used across a gap"
        for folder, missing in found
        if missing
    ]
