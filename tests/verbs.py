"""`deblurzoo VERB …` for tests: as a call in their own process, or as a real process that need not import again."""

import atexit
import contextlib
import gc
import io
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterator
from multiprocessing.connection import Listener
from pathlib import Path
from unittest.mock import patch

from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra

from deblurzoo import extensions, files
from deblurzoo.cli import main
from deblurzoo.commands import sweep

SERVER = multiprocessing.get_context("forkserver")
# All that verbs import but numba, whose threads no fork survives. The server ignores what it cannot import, and before
# Python 3.13 it does not know pytest's path: only installed modules can stand here.
SERVER.set_forkserver_preload(
    ["wandb", "pytorch_lightning.loggers"]
    + [
        f"deblurzoo.commands.{verb}"
        for verb in ("train", "evaluate", "deblur", "compare", "export", "experiments", "synthesize")
    ]
    + [
        "deblurzoo.commands.data_check",
        "deblurzoo.commands.data_pack",
        "deblurzoo.commands.data_show",
        "deblurzoo.reports.page",
        "deblurzoo.reports.wandb",
    ]
)


def call(arguments: list[str], folder: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Return what a verb prints and its exit code; it runs here, in `folder`, and leaves nothing of itself behind."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        patch.dict(os.environ, environment, clear=True),
        patch.object(sys, "argv", ["deblurzoo", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(),
        patch.object(Hydra, "get_mode", lambda *_, **__: None),  # composes all once more, to learn what -m says, too
        _as_if_in_a_process_of_its_own(),
    ):
        code = _exit_code()
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _as_if_in_a_process_of_its_own() -> Iterator[None]:
    """Undo what lasts until a process ends: Hydra's and logging's state, claims on folders, reading processes."""
    root, module = logging.getLogger(), sys.modules["__main__"]
    handlers, level, spec = root.handlers[:], root.level, module.__spec__
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        module.__spec__ = spec
        root.handlers[:] = handlers
        root.setLevel(level)
        sweep._folders.clear()
        extensions._trusted.clear()
        for claimed in list(files._claimed.values()):
            claimed.close()
        files._claimed.clear()
        gc.collect()  # readers end with the loader that started them, which is part of a cycle
        gc.freeze()  # what is left stays: the next collection need not look at it


def _exit_code() -> int:
    """Return the exit code of a process that runs the verb of `sys.argv`, having printed what it would."""
    try:
        main()
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
            return 1
        return stop.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def refused(done: "subprocess.CompletedProcess[str]", *messages: str) -> None:
    """Check that a verb failed, said all of `messages`, and printed no traceback."""
    assert done.returncode == 1, f"exit code {done.returncode}\n{done.stderr}"
    for message in messages:
        assert message in done.stderr, done.stderr
    assert "Traceback" not in done.stderr, done.stderr


class Process:
    """A real process in a session of its own that runs a verb, forked from a server that has imported everything."""

    def __init__(self, arguments: list[str], folder: Path, environment: dict[str, str]) -> None:
        self.outputs = [folder / f".{name}.{time.monotonic_ns()}" for name in ("stdout", "stderr")]
        details = (arguments, folder, environment, self.outputs)
        self._process = SERVER.Process(target=_run_and_exit, args=details)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Wait for the end and return the exit code; raise a TimeoutExpired after `timeout` seconds."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("deblurzoo", timeout)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def result(self, timeout: float = 300) -> "subprocess.CompletedProcess[str]":
        """Wait for the end and return the exit code and all that was printed."""
        code = self.wait(timeout)
        out, err = (output.read_text() if output.is_file() else "" for output in self.outputs)
        return subprocess.CompletedProcess("deblurzoo", code, out, err)


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Yield an address where other programs have verbs run: they send (arguments, folder, environment).

    They get (exit code, output, errors). Verbs run one after the other, each in a `Process`.
    """
    listener = Listener(family="AF_UNIX")

    def serve() -> None:
        with contextlib.suppress(OSError):  # the listener is closed
            while True:
                with listener.accept() as client:
                    arguments, folder, environment = client.recv()
                    done = Process(arguments, Path(folder), environment).result(timeout=600)
                    client.send((done.returncode, done.stdout, done.stderr))

    threading.Thread(target=serve, daemon=True).start()
    with listener:
        yield str(listener.address)


def _run_and_exit(arguments: list[str], folder: Path, environment: dict[str, str], outputs: list[Path]) -> None:
    os.setsid()
    for number, output in enumerate(outputs, 1):
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdout, sys.stderr = os.fdopen(1, "w", 1), os.fdopen(2, "w", 1)
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]  # it has readers
    atexit._clear()  # what is registered is the server's
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["deblurzoo", *arguments]
    code = _exit_code()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
