"""`deblurzoo VERB …` for tests: as a call in the test's process, or as a real process without repeated imports."""

import atexit
import contextlib
import gc
import io
import logging
import multiprocessing
import os
import subprocess
import sys
import tempfile
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

SERVER = multiprocessing.get_context("forkserver")
# All imports of verbs except numba, whose threads do not survive a fork. The server ignores modules that it cannot
# import, and before Python 3.13 it lacks pytest's path: list only installed modules.
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
    """Run a verb in this process, in `folder`, without lasting side effects; return exit code and output."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        patch.dict(os.environ, environment, clear=True),
        patch.object(sys, "argv", ["deblurzoo", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(),
        patch.object(Hydra, "get_mode", lambda *_, **__: None),  # get_mode composes the config a second time
        _as_if_in_a_process_of_its_own(),
    ):
        code = _exit_code()
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _as_if_in_a_process_of_its_own() -> Iterator[None]:
    """Undo effects that last until a process ends: state of Hydra and logging, folder locks, data-loader workers."""
    root, module = logging.getLogger(), sys.modules["__main__"]
    handlers, level, spec = root.handlers[:], root.level, module.__spec__
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        module.__spec__ = spec
        root.handlers[:] = handlers
        root.setLevel(level)
        extensions._trusted.clear()
        for claimed in list(files._claimed.values()):
            claimed.close()
        files._claimed.clear()
        gc.collect()  # workers end with their loader, which is part of a reference cycle
        gc.freeze()  # remaining objects are permanent: exclude them from the next collection


def _exit_code() -> int:
    """Run the verb in `sys.argv` and return the exit code that a process would have; print the same output."""
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


def refused(done: "subprocess.CompletedProcess[str]", *messages: str, code: int = 1) -> None:
    """Check that a verb failed with an exit code, printed all `messages`, and printed no traceback."""
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stderr}"
    for message in messages:
        assert message in done.stderr, done.stderr
    assert "Traceback" not in done.stderr, done.stderr


class Process:
    """A real process that runs a verb in a separate session, forked from a server with all imports."""

    def __init__(self, arguments: list[str], folder: Path, environment: dict[str, str]) -> None:
        self.outputs = [folder / f".{name}.{time.monotonic_ns()}" for name in ("stdout", "stderr")]
        details = (arguments, folder, environment, self.outputs)
        self._process = SERVER.Process(target=_run_and_exit, args=details)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while the process runs."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Wait for the end and return the exit code; raise a TimeoutExpired after `timeout` seconds."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("deblurzoo", timeout)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal to the process."""
        os.kill(self.pid, number)

    def result(self, timeout: float = 300) -> "subprocess.CompletedProcess[str]":
        """Wait for the end and return exit code and output."""
        code = self.wait(timeout)
        out, err = (output.read_text() if output.is_file() else "" for output in self.outputs)
        return subprocess.CompletedProcess("deblurzoo", code, out, err)


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Yield the address of a server that runs verbs for other programs.

    A program sends (arguments, folder, environment) and receives (exit code, stdout, stderr). Verbs run one after the
    other, each in a `Process`.
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
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]  # it starts workers
    atexit._clear()  # registered functions are the server's
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # the server's TMPDIR
    sys.argv = ["deblurzoo", *arguments]
    code = _exit_code()
    threading._shutdown()  # type: ignore[attr-defined]  # ends joblib's processes, as at the end of an interpreter
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
