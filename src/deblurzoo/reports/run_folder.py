"""Run folders: identity, status and evaluations of a run.

Evaluations of a run are distinguished by their images, conditions and checkpoint.
"""

import hashlib
import json
import logging
import os
import secrets
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import ConfigDict, Field

from deblurzoo.errors import DeblurzooError, escaped, is_utf8
from deblurzoo.files import unfinished, write_atomically
from deblurzoo.records import Count, Literally, Record, load_record
from deblurzoo.reports.results import RESULTS, Facts, read

log = logging.getLogger(__name__)

STATUS, IDENTITY, CONFIG, FACTS = "status.json", "run.json", "config.yaml", "facts.json"


State = Literal["waiting", "running", "done", "failed"]


class Status(Record):
    """`status.json`: the state of a run and, if it failed, the reason.

    Args:
        step: number of steps done, of `steps`; None before training.
        end: expected time of the end of training, as `time.time()`; None before the first step.
    """

    state: State
    reason: str | None
    host: str
    process: Annotated[int, Field(ge=0, lt=2**31)]
    step: Count | None = None
    steps: Count | None = None
    end: Annotated[float, Field(ge=0, lt=2**53)] | None = None


class Unfinished(NamedTuple):
    """The state of a run that is not done, and its description: the reason, host and step, or `not begun`."""

    state: Literal["failed", "running", "not begun"]
    reason: str


class Identity(Record):
    """`run.json`: the id for loggers, the displayed name, and the absolute path of the folder."""

    id: Literally
    name: str
    path: str | None = None


class _Part(Record):
    """A part of `config.yaml` with further keys."""

    model_config = ConfigDict(extra="allow")


class _Network(_Part):
    variant: Any = None  # of any type for a user's network


class _Module(_Part):
    net: _Network = _Network()


class _Data(_Part):
    blur: Any = None


class RunConfig(_Part):
    """The complete `config.yaml`; W&B requires the declared keys. Version 0.1 did not write `choices`."""

    tags: list[str]
    group: str | None
    model: _Module = _Module()
    data: _Data = _Data()
    blur: str | None = None
    callbacks: dict[str, Any] = Field(default_factory=dict)
    choices: dict[str, str | None] = Field(default_factory=dict)

    @property
    def content(self) -> dict[str, Any]:
        """All keys of the file, without the defaults of keys that the file lacks."""
        return self.model_dump(exclude_unset=True)

    def for_wandb(self) -> dict[str, Any]:
        """Return the config of the run in W&B: names to group runs by, then all keys, with `data` as `data_set`."""
        network, content = self.choices.get("model"), self.content
        names = {
            "variant": self.model.net.variant or self.choices.get("experiment") or network,
            "network": network,
            "data": self.choices.get("data"),
            "blur": self.data.blur or self.blur,
            "recipe": self.choices.get("recipe"),
        }
        return {**content, "data_set": content.get("data"), **names}


@contextmanager
def recorded(run: Path) -> Iterator[None]:
    """Record the state of a run in its folder: first `running`, at the end `done`, or `failed` with the reason."""
    _write(run, "running")
    try:
        yield
    except SystemExit:
        _write(run, "failed", "stopped by a signal")
        raise
    except KeyboardInterrupt:
        _write(run, "failed", "interrupted")
        raise
    except BaseException as error:
        _write(run, "failed", str(error).strip() or type(error).__name__)
        raise
    _write(run, "done")


def announce(run: Path) -> None:
    """Record that a job of a sweep has not begun, unless its folder has a state."""
    if not (run / STATUS).exists():
        _write(run, "waiting")


def record_step(run: Path, step: int, steps: int, seconds_left: float | None) -> None:
    """Record the step of a running job of a sweep, and the expected end of its training; no effect on other runs."""
    with suppress(DeblurzooError):
        status = load_record(run / STATUS, Status, "start the run again")
        if status.state == "running":
            end = None if seconds_left is None else time.time() + seconds_left
            progress = status.model_copy(update={"step": step, "steps": steps, "end": end})
            write_atomically(run / STATUS, progress.as_json(indent=1))


def _write(run: Path, state: State, reason: str | None = None) -> None:
    status = Status(state=state, reason=reason, host=socket.gethostname(), process=os.getpid())
    write_atomically(run / STATUS, status.as_json(indent=1))


def problem(run: Path) -> Unfinished | None:
    """Return the state of a run that is failed, interrupted, running or not begun; None if done or without status."""
    if not (run / STATUS).is_file():
        return None
    try:
        status = load_record(run / STATUS, Status, "start the run again")
    except DeblurzooError as error:
        return Unfinished("failed", str(error))
    if status.state == "waiting":
        return Unfinished("not begun", "not begun")
    if status.state == "running":
        here = status.host == socket.gethostname()
        if here and not _is_alive(status.process):
            return Unfinished("failed", "interrupted")
        return Unfinished("running", ", ".join([f"running on {status.host}", *_progress(status)]))
    return Unfinished("failed", str(status.reason)) if status.state == "failed" else None


def _progress(status: Status) -> Iterator[str]:
    if status.step is None or status.steps is None:
        return
    if status.step >= status.steps:
        yield "evaluating"
        return
    yield f"step {status.step:,} of {status.steps:,}"
    if status.end is not None:
        yield f"ETA {timedelta(seconds=max(0, round(status.end - time.time())))}"


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's process
        return True
    return True


def original_of(run: Path) -> Path | None:
    """Return the folder that a run folder is a copy of; None for the original, also if it was moved."""
    with suppress(DeblurzooError, OSError, ValueError):
        identity = identity_of(run)
        if identity.path is None or not (other := Path(identity.path)).is_absolute():
            return None
        if (other / IDENTITY).is_file() and not other.samefile(run) and identity_of(other).id == identity.id:
            return other
    return None


def own_id(run: Path) -> str:
    """Return the id of a run; for a copy of another run folder, a new id, with a warning."""
    if original := original_of(run):
        renewed = new_id()
        log.warning("%s is a copy of %s: it gets the new id %s", escaped(run), escaped(original), renewed)
        return renewed
    return identity_of(run).id


def new_id() -> str:
    """Return a random id for a run."""
    return secrets.token_hex(4)


def write_identity(run: Path, run_id: str, name: str) -> None:
    """Write `run.json`."""
    path = run.resolve()
    identity = Identity(id=run_id, name=name, path=str(path) if is_utf8(path) else None)
    write_atomically(run / IDENTITY, identity.as_json())


def identity_of(run: Path) -> Identity:
    """Return the identity of a run from its `run.json`.

    Raises:
        DeblurzooError: the file is missing or corrupt.
    """
    return load_record(run / IDENTITY, Identity, "start the run under a different name")


def name_of(run: Path) -> str:
    """Return the name of a run from its `run.json`, or the name of the folder if the file cannot be read.

    A job of a sweep, which has a status, is named by its folder NAME/JOB as by its label: NAME JOB.
    """
    try:
        return identity_of(run).name
    except DeblurzooError:
        parts = run.absolute().parts
        return escaped(" ".join(parts[-2:] if (run / STATUS).is_file() else parts[-1:]))


def config_of(run: Path, remedy: str) -> RunConfig:
    """Return the training config of a run.

    Raises:
        DeblurzooError: the file is missing or corrupt; the message ends with `remedy`.
    """
    return load_record(run / CONFIG, RunConfig, remedy)


def trial_id() -> str | None:
    """Return the W&B run id of this process if `wandb agent` started it as a trial, otherwise None."""
    return os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None


def run_of(results: Path) -> Path | None:
    """Return the run folder of RUN/evaluate/KIND/results.json, or None if the file is not in a run folder."""
    run = results.resolve().parent.parent.parent
    return run if (run / CONFIG).is_file() else None


def run_of_checkpoint(checkpoint: Path) -> Path:
    """Return the run folder RUN of a file RUN/checkpoints/NAME.ckpt.

    Raises:
        DeblurzooError: the file is not in a run folder.
    """
    run = checkpoint.resolve().parent.parent
    if checkpoint.suffix != ".ckpt" or not (run / CONFIG).is_file():
        raise DeblurzooError(f"{checkpoint} is not in a run folder, which --to-wandb requires: give RUN, or omit it")
    return run


def differences(theirs: Facts, ours: Facts) -> dict[str, str]:
    """Return descriptions of the conditions that differ between two evaluations, by name of the condition.

    Results of version 0.1 have no fingerprint of the images; the `data` configs are compared instead.
    """
    by_pictures = bool(theirs.data.fingerprint and ours.data.fingerprint)
    there, here = (_conditions(facts, by_pictures) for facts in (theirs, ours))
    words, our_words = (_in_words(facts) for facts in (theirs, ours))
    return {
        key: f"{key}: {words.get(key, there[key])} stored, {our_words.get(key, here[key])} requested"
        for key in there
        if there[key] != here[key]
    }


def _conditions(facts: Facts, by_pictures: bool) -> dict[str, Any]:
    """Return the conditions of an evaluation by name. Evaluations with equal conditions count as the same."""
    settings = facts.settings
    return {
        "checkpoint": facts.checkpoint.sha256,
        "data": facts.data.fingerprint if by_pictures else settings.data,
        "protocol": facts.protocol,
        "blur": facts.blur_folder,
        "common_frames": facts.common_frames,
        "switch": settings.switch,
        "self_ensemble": settings.self_ensemble,
        "rounding": settings.rounding,
        "precision": settings.trainer.precision,
    }


def _in_words(facts: Facts) -> dict[str, str]:
    """Return readable descriptions of the checkpoint and the images of an evaluation."""
    checkpoint = f"{facts.checkpoint.file} ({facts.checkpoint.sha256[:8]})"
    return {"checkpoint": checkpoint, "data": facts.data.place or str(facts.settings.data)}


def held(folder: Path) -> Facts | None:
    """Return the metadata of the evaluation in a folder, finished or not; None if it is missing or corrupt."""
    for file in (folder / RESULTS, unfinished(folder) / FACTS):
        with suppress(DeblurzooError):
            return load_record(file, Facts, "run `deblurzoo evaluate` again")
    return None


def is_finished(folder: Path, facts: Facts, metrics: Sequence[str]) -> bool:
    """Whether a folder contains the results of the evaluation that `facts` describes, with all of `metrics`."""
    with suppress(DeblurzooError):
        results = read(folder / RESULTS)
        same = not differences(results, facts) and facts.metric_versions.items() <= results.metric_versions.items()
        return same and set(metrics) <= set(results.restored)
    return False


def require_free(folder: Path, facts: Facts) -> None:
    """Raise a DeblurzooError that lists the differences if a folder contains results of a different evaluation."""
    theirs = held(folder) if (folder / RESULTS).is_file() else None
    if theirs and (differing := differences(theirs, facts)):
        raise DeblurzooError(
            f"out={folder} contains the results of a different evaluation ({'; '.join(differing.values())}): "
            "choose a different folder"
        )


def folder_for(parent: Path, usual: str, facts: Facts) -> Path:
    """Return the folder of an evaluation below `parent`: the folder that contains it, otherwise a free folder.

    A free folder is named `usual`. If a different evaluation uses this name, the name of the images and the step are
    appended, as in `folder_blur_REDS_step1000`. If that name is also in use, a hash of all conditions is appended to
    `usual` instead.
    """
    name, step = facts.data.name, f"step{facts.checkpoint.step}"
    longer = [usual, step] if name in ("", facts.protocol) else [usual, name, step]
    hashed = hashlib.sha256(json.dumps(_conditions(facts, by_pictures=True)).encode()).hexdigest()
    folders = [parent / "_".join(parts) for parts in ([usual], longer, [usual, hashed[:12]])]
    holders = [held(folder) for folder in folders]
    own = [folder for folder, theirs in zip(folders, holders, strict=True) if theirs and not differences(theirs, facts)]
    free = [folder for folder, theirs in zip(folders, holders, strict=True) if theirs is None]
    return [*own, *free, folders[-1]][0]
