"""Run folders: the identity of a run, its status, and its evaluations.

Evaluations are told apart by the pictures, the conditions and the checkpoint.
"""

import hashlib
import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from deblurzoo.errors import DeblurzooError, escaped
from deblurzoo.files import unfinished, write_atomically
from deblurzoo.records import Literally, Record, load_record
from deblurzoo.reports.results import RESULTS, Facts, read

STATUS, IDENTITY, CONFIG, FACTS = "status.json", "run.json", "config.yaml", "facts.json"


State = Literal["running", "done", "failed"]


class Status(Record):
    """`status.json`: how far a job of a sweep has come."""

    state: State
    reason: str | None
    host: str
    process: Annotated[int, Field(ge=0, lt=2**31)]


class Identity(Record):
    """`run.json`: the id for loggers, and the name to show."""

    id: Literally
    name: str


class RunConfig(Record):
    """`config.yaml`, all of it; W&B needs these keys."""

    model_config = ConfigDict(extra="allow")

    tags: list[str]
    group: str | None


@contextmanager
def recorded(run: Path) -> Iterator[None]:
    """Say in the run folder that a run is running, then done, or failed and why."""
    _write(run, "running")
    try:
        yield
    except SystemExit:
        _write(run, "failed", "stopped by a signal")
        raise
    except BaseException as error:
        _write(run, "failed", str(error).strip() or type(error).__name__)
        raise
    _write(run, "done")


def _write(run: Path, state: State, reason: str | None = None) -> None:
    status = Status(state=state, reason=reason, host=socket.gethostname(), process=os.getpid())
    write_atomically(run / STATUS, status.as_json(indent=1))


def problem(run: Path) -> str | None:
    """Return why a run is not done: it failed, was interrupted, or still runs; None if it is, or has no status."""
    if not (run / STATUS).is_file():
        return None
    try:
        status = load_record(run / STATUS, Status, "run it again")
    except DeblurzooError as error:
        return str(error)
    if status.state == "running":
        here = status.host == socket.gethostname()
        return "interrupted" if here and not _is_alive(status.process) else f"running on {status.host}"
    return str(status.reason) if status.state == "failed" else None


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def identity_of(run: Path) -> Identity:
    """Return who a run is, as its `run.json` says.

    Raises:
        DeblurzooError: the file is missing or damaged.
    """
    return load_record(run / IDENTITY, Identity, "start the run under another name")


def name_of(run: Path) -> str:
    """Return how a run is called: as `run.json` says, else the folder's name."""
    try:
        return identity_of(run).name
    except DeblurzooError:
        return escaped(run.absolute().name)


def config_of(run: Path, remedy: str) -> RunConfig:
    """Return the config that a run was trained with.

    Raises:
        DeblurzooError: the file is missing or damaged; the message ends with the remedy.
    """
    return load_record(run / CONFIG, RunConfig, remedy)


def run_of(results: Path) -> Path | None:
    """Return the run folder of RUN/evaluate/KIND/results.json, or None if the file lies elsewhere."""
    run = results.resolve().parent.parent.parent
    return run if (run / CONFIG).is_file() else None


def differences(theirs: Facts, ours: Facts) -> dict[str, str]:
    """Return in what two evaluations differ, in words by the name of each condition; nothing if they are the same one.

    Those of version 0.1 do not say which pictures they saw: they are known by where the pictures lay.
    """
    by_pictures = bool(theirs.data.fingerprint and ours.data.fingerprint)
    there, here = (_conditions(facts, by_pictures) for facts in (theirs, ours))
    words, our_words = (_in_words(facts) for facts in (theirs, ours))
    return {
        key: f"{key} {words.get(key, there[key])} there, {our_words.get(key, here[key])} here"
        for key in there
        if there[key] != here[key]
    }


def _conditions(facts: Facts, by_pictures: bool) -> dict[str, Any]:
    """Return all that tells an evaluation from others."""
    settings = facts.settings
    return {
        "checkpoint": facts.checkpoint.sha256,
        "data": facts.data.fingerprint if by_pictures else settings.data,
        "protocol": facts.protocol,
        "blur": facts.blur_folder,
        "common_frames": facts.common_frames,
        "switch": settings.switch,
        "rounding": settings.rounding,
        "precision": settings.trainer.precision,
    }


def _in_words(facts: Facts) -> dict[str, str]:
    """Return checkpoint and pictures of an evaluation as people call them."""
    checkpoint = f"{facts.checkpoint.file} ({facts.checkpoint.sha256[:8]})"
    return {"checkpoint": checkpoint, "data": facts.data.place or str(facts.settings.data)}


def held(folder: Path) -> Facts | None:
    """Return the facts of the evaluation that a folder holds or will hold; None if there is none, or a damaged one."""
    for file in (folder / RESULTS, unfinished(folder) / FACTS):
        with suppress(DeblurzooError):
            return load_record(file, Facts, "evaluate anew")
    return None


def is_finished(folder: Path, facts: Facts, metrics: Sequence[str]) -> bool:
    """Whether a folder holds the results of this evaluation, with all these figures."""
    with suppress(DeblurzooError):
        results = read(folder / RESULTS)
        return not differences(results, facts) and set(metrics) <= set(results.restored)
    return False


def require_free(folder: Path, facts: Facts) -> None:
    """Raise a DeblurzooError that names both if a folder holds the results of another evaluation."""
    theirs = held(folder) if (folder / RESULTS).is_file() else None
    if theirs and (differing := differences(theirs, facts)):
        raise DeblurzooError(
            f"out={folder} holds the results of another evaluation ({'; '.join(differing.values())}): "
            "give another folder"
        )


def folder_for(parent: Path, usual: str, facts: Facts) -> Path:
    """Return the folder of an evaluation below `parent`: its own, else a free one.

    It is the usual one unless another evaluation has that; then pictures and step are named too, as in
    `folder_blur_REDS_step1000`. Where even such a folder is taken, the name ends in a hash of all conditions.
    """
    name, step = facts.data.name, f"step{facts.checkpoint.step}"
    longer = [usual, step] if name in ("", facts.protocol) else [usual, name, step]
    hashed = hashlib.sha256(json.dumps(_conditions(facts, by_pictures=True)).encode()).hexdigest()
    folders = [parent / "_".join(parts) for parts in ([usual], longer, [usual, hashed[:12]])]
    holders = [held(folder) for folder in folders]
    own = [folder for folder, theirs in zip(folders, holders, strict=True) if theirs and not differences(theirs, facts)]
    free = [folder for folder, theirs in zip(folders, holders, strict=True) if theirs is None]
    return [*own, *free, folders[-1]][0]
