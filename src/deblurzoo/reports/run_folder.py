"""Run folders: identity, status and evaluations of a run.

Evaluations are distinguished by images, conditions and checkpoint.
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
    """`status.json`: the state of a run and, if it failed, the reason."""

    state: State
    reason: str | None
    host: str
    process: Annotated[int, Field(ge=0, lt=2**31)]


class Identity(Record):
    """`run.json`: the id for loggers, and the displayed name."""

    id: Literally
    name: str


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
    choices: dict[str, str | None] = Field(default_factory=dict)

    def for_wandb(self) -> dict[str, Any]:
        """Return the config of the run in W&B: names to group runs by, then all keys, with `data` as `data_set`."""
        network, content = self.choices.get("model"), self.model_dump()
        names = {
            "variant": self.model.net.variant or self.choices.get("experiment") or network,
            "network": network,
            "data": self.choices.get("data"),
            "blur": self.data.blur or self.blur,
            "recipe": self.choices.get("recipe"),
        }
        return {**content, "data_set": content["data"], **names}


@contextmanager
def recorded(run: Path) -> Iterator[None]:
    """Record the state of a run in its folder: running, then done, or failed with the reason."""
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
    """Return the reason if a run is failed, interrupted or still running; None if it is done or has no status."""
    if not (run / STATUS).is_file():
        return None
    try:
        status = load_record(run / STATUS, Status, "start the run again")
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
    except PermissionError:  # another user's process
        return True
    return True


def identity_of(run: Path) -> Identity:
    """Return the identity of a run from its `run.json`.

    Raises:
        DeblurzooError: the file is missing or corrupt.
    """
    return load_record(run / IDENTITY, Identity, "start the run under another name")


def name_of(run: Path) -> str:
    """Return the name of a run from its `run.json`, or else the name of the folder."""
    try:
        return identity_of(run).name
    except DeblurzooError:
        return escaped(run.absolute().name)


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


def differences(theirs: Facts, ours: Facts) -> dict[str, str]:
    """Return a description of each condition that differs between two evaluations, by name of the condition.

    Results of version 0.1 have no fingerprint of the images; their `data` config is compared instead.
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
    """Return the conditions that distinguish an evaluation from others."""
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
    """Return readable descriptions of the checkpoint and the images of an evaluation."""
    checkpoint = f"{facts.checkpoint.file} ({facts.checkpoint.sha256[:8]})"
    return {"checkpoint": checkpoint, "data": facts.data.place or str(facts.settings.data)}


def held(folder: Path) -> Facts | None:
    """Return the `Facts` of the finished or unfinished evaluation of a folder; None if missing or corrupt."""
    for file in (folder / RESULTS, unfinished(folder) / FACTS):
        with suppress(DeblurzooError):
            return load_record(file, Facts, "run `deblurzoo evaluate` again")
    return None


def is_finished(folder: Path, facts: Facts, metrics: Sequence[str]) -> bool:
    """Whether a folder holds the results of this evaluation, including all given metrics."""
    with suppress(DeblurzooError):
        results = read(folder / RESULTS)
        return not differences(results, facts) and set(metrics) <= set(results.restored)
    return False


def require_free(folder: Path, facts: Facts) -> None:
    """Raise a DeblurzooError with the differences if a folder holds the results of another evaluation."""
    theirs = held(folder) if (folder / RESULTS).is_file() else None
    if theirs and (differing := differences(theirs, facts)):
        raise DeblurzooError(
            f"out={folder} holds the results of another evaluation ({'; '.join(differing.values())}): "
            "choose another folder"
        )


def folder_for(parent: Path, usual: str, facts: Facts) -> Path:
    """Return the folder of an evaluation below `parent`: its existing folder, else a free folder.

    The name is `usual` unless another evaluation uses it. It is then extended by the name of the images and the step,
    such as `folder_blur_REDS_step1000`, or, if this name is also in use, by a hash of all conditions.
    """
    name, step = facts.data.name, f"step{facts.checkpoint.step}"
    longer = [usual, step] if name in ("", facts.protocol) else [usual, name, step]
    hashed = hashlib.sha256(json.dumps(_conditions(facts, by_pictures=True)).encode()).hexdigest()
    folders = [parent / "_".join(parts) for parts in ([usual], longer, [usual, hashed[:12]])]
    holders = [held(folder) for folder in folders]
    own = [folder for folder, theirs in zip(folders, holders, strict=True) if theirs and not differences(theirs, facts)]
    free = [folder for folder, theirs in zip(folders, holders, strict=True) if theirs is None]
    return [*own, *free, folders[-1]][0]
