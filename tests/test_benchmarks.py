"""The scripts in `benchmarks/`: options, without the measurements."""

import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


def run(name: str, *arguments: str) -> int | str | None:
    """Run a script in this process; return its exit code."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stop:
        patch.syspath_prepend(FOLDER)  # scripts import functions of each other
        patch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(FOLDER / name), run_name="__main__")
    return stop.value.code


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.py")))
def test_every_script_has_a_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(name, "--help") == 0
    assert f"python benchmarks/{name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--before", "no_revision"], "argument --before: 'no_revision' is not a revision of"),
        (["--before", ""], "argument --before: '' is not a revision of"),
        (["--repeats", "0"], "argument --repeats: 0 must be a whole number of at least 1"),
    ],
)
def test_wrong_options_are_one_message(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("waits.py", *arguments) == 2
    assert message in capsys.readouterr().err


_RUN = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal
sys.path.insert(0, sys.argv[1])
sys.argv[:2] = ["growth.py"]
runpy.run_path(f"{sys.path[0]}/growth.py", run_name="__main__")
"""


def test_ctrl_c_is_one_line() -> None:
    command = [sys.executable, "-c", _RUN, str(FOLDER), "--only", "data check: clips"]
    with subprocess.Popen(command, text=True, start_new_session=True, stderr=subprocess.PIPE) as child:
        assert child.stderr is not None
        assert child.stderr.readline().startswith("  0% data check")
        os.killpg(child.pid, signal.SIGINT)
        assert child.wait(60) == 130
        errors = child.stderr.read()
    assert "Traceback" not in errors and errors.count("interrupted: ") == 1, errors
