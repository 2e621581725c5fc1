"""What a run folder says of its run: its name, and in `status.json` how far it has come."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deblurzoo.errors import DeblurzooError, escaped
from deblurzoo.files import write_atomically
from deblurzoo.records import Identity, Status, load_record

FILE = "status.json"


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


def _write(run: Path, state: str, reason: str | None = None) -> None:
    facts = {"state": state, "reason": reason, "host": socket.gethostname(), "process": os.getpid()}
    write_atomically(run / FILE, json.dumps(facts, indent=1).encode())


def problem(run: Path) -> str | None:
    """Return why a run is not done: it failed, was interrupted, or still runs; None if it is, or has no status."""
    if not (run / FILE).is_file():
        return None
    try:
        facts = load_record(run / FILE, Status, "run it again")
    except DeblurzooError as error:
        return str(error)
    if facts["state"] == "running":
        here = facts["host"] == socket.gethostname()
        return "interrupted" if here and not _is_alive(facts["process"]) else f"running on {facts['host']}"
    return str(facts["reason"]) if facts["state"] == "failed" else None


def identity_of(run: Path) -> dict[str, str]:
    """Return `id` and `name` of a run, as its `run.json` says.

    Raises:
        DeblurzooError: the file is missing or damaged.
    """
    return load_record(run / "run.json", Identity, "start the run under another name")


def name_of(run: Path) -> str:
    """Return how a run is called: as `run.json` says, else the folder's name."""
    try:
        return identity_of(run)["name"]
    except DeblurzooError:
        return escaped(run.absolute().name)


def run_of(results: Path) -> Path | None:
    """Return the run folder of RUN/evaluate/KIND/results.json, or None if the file lies elsewhere."""
    run = results.resolve().parent.parent.parent
    return run if (run / "config.yaml").is_file() else None


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True
