"""Finding evaluations and runs on disk, naming them, and grouping them by conditions."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import Literal, NamedTuple

from deblurzoo.errors import DeblurzooError, escaped
from deblurzoo.files import files_below
from deblurzoo.media.naming import NaturalKey, natural
from deblurzoo.records import typed
from deblurzoo.reports.results import RESULTS, Results, read
from deblurzoo.reports.run_folder import STATUS, name_of, problem


class Failure(NamedTuple):
    """A run or a file without a result, and the reason; a run may still be running, or not begun."""

    name: str
    reason: str
    state: Literal["failed", "running", "not begun"] = "failed"


def gather(paths: Sequence[Path]) -> tuple[dict[Path, Results], list[Failure]]:
    """Return the evaluations by path of their `results.json`, and the failures.

    Args:
        paths: `results.json` files, or folders that are searched recursively.

    Raises:
        DeblurzooError: a path contains neither results nor runs.
        OSError: a path cannot be read.
    """
    results: dict[Path, Results] = {}
    failed: dict[Path, Failure] = {}
    folders: dict[Path, Path] = {}
    for path in paths:
        unreadable: list[OSError] = []
        found = list(files_below(path, unreadable.append)) if path.is_dir() else []
        files = [path] if path.is_file() else [f for f in found if f.name == RESULTS and not _is_wandbs(f)]
        runs = [file.parent for file in found if file.name == STATUS]
        for error in unreadable:
            if error.filename == str(path):
                raise error
            folder = Path(error.filename)
            failed[folder.resolve()] = Failure(escaped(folder), f"cannot be read ({error.strerror})")
        if not files and not runs and not unreadable:
            raise DeblurzooError(
                f"{path} has no {RESULTS}: run `deblurzoo evaluate {typed('checkpoint', path)} data=…` first"
            )
        for file in sorted(files, key=_in_order):
            try:
                results[file.resolve()] = read(file)
                folders[file.resolve()] = _folder(file.resolve())
            except DeblurzooError as error:
                failed[file.resolve()] = Failure(escaped(file), str(error).removeprefix(f"{escaped(file)} "))
        for run in sorted(runs, key=_in_order):
            if failure := _failure(run):
                failed[run.resolve()] = failure
                folders[run.resolve()] = run.resolve()
    _name_folders(results, failed, folders | _common_folders(results, folders))
    _tell_apart(list(results.values()))
    return results, list(failed.values())


def _in_order(path: Path) -> list[NaturalKey]:
    """Return a sort key for natural order in each folder."""
    return [natural(part) for part in path.parts]


def _folder(file: Path) -> Path:
    """Return the run folder of RUN/evaluate/KIND/results.json, otherwise the folder of the file."""
    return file.parents[2] if file.parent.parent.name == "evaluate" else file.parent


def _common_folders(results: dict[Path, Results], folders: dict[Path, Path]) -> dict[Path, Path]:
    """Return one folder for all evaluations of a network, unless two of them have the same conditions."""
    networks: dict[tuple[str, str | None], list[Path]] = {}
    for file, one in results.items():
        networks.setdefault((one.name, one.source if one.is_of_images else one.checkpoint.sha256), []).append(file)
    apart = (files for files in networks.values() if len({conditions(results[file]) for file in files}) == len(files))
    return {file: folders[files[0]] for files in apart for file in files}


def _nearby(folder: Path) -> Path:
    """Return the path relative to the working directory, if the folder is below it."""
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def _name_folders(results: dict[Path, Results], failed: dict[Path, Failure], folders: dict[Path, Path]) -> None:
    """Append the folder to names that occur in several folders, as of a copied run: its name or, if equal, its path."""
    names = {key: results[key].name if key in results else failed[key].name for key in folders}
    last = [folder.name for folder in folders.values()]
    own = ["" if part == name else f" ({escaped(part)})" for part, name in zip(last, names.values(), strict=True)]
    for additions in (own, [f" ({escaped(_nearby(folder))})" for folder in folders.values()]):
        names = dict(zip(names, told_apart(list(names.values()), additions), strict=True))
    for key, name in names.items():
        if key in results:
            results[key].name = name
        else:
            failed[key] = failed[key]._replace(name=name)


def _failure(run: Path) -> Failure | None:
    """Return the failure of a run that is not done."""
    unfinished = problem(run)
    earlier = "; the table shows an earlier evaluation" if any(run.glob(f"evaluate/*/{RESULTS}")) else ""
    return Failure(name_of(run), unfinished.reason + earlier, unfinished.state) if unfinished else None


def _tell_apart(all_results: list[Results]) -> None:
    """Append the step to each name that occurs with different steps in a group of comparable results."""
    for group in groups(all_results):
        steps = [f" step {results.checkpoint.step}" for results in group]
        for results, name in zip(group, told_apart([results.name for results in group], steps), strict=True):
            results.name = name


def told_apart(texts: Sequence[str], additions: Sequence[str]) -> list[str]:
    """Return each text, with its addition appended if the same text also occurs with a different addition."""
    pairs = set(zip(texts, additions, strict=True))
    count = Counter(text for text, _ in pairs)
    return [text + more if count[text] > 1 else text for text, more in zip(texts, additions, strict=True)]


def _is_wandbs(file: Path) -> bool:
    """Whether a file belongs to the local copy of a run that W&B stores in the run folder."""
    return any(a == "wandb" and b.startswith(("offline-run-", "run-")) for a, b in pairwise(file.parts))


def conditions(results: Results) -> tuple[str, ...]:
    """Return the conditions that must agree for two results to be comparable."""
    return (
        results.dataset,
        results.protocol,
        results.split,
        results.blur_folder,
        "/".join(results.resolution),
        f"{results.frames} frames",
        results.rounding,
        results.measure,
        f"{results.blurry['psnr']:.6f}",  # differs if the images differ
    )


def groups(all_results: list[Results]) -> list[list[Results]]:
    """Return results grouped by conditions. Each group has a separate table, since only its results are comparable."""
    return [list(group) for _, group in groupby(sorted(all_results, key=conditions), key=conditions)]
