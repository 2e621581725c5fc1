"""Errors of the commands are one message: without lines of Hydra, and without a traceback unless it is needed."""

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import SHORT, Run
from verbs import refused


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.root=/nowhere"], "error: data.root=/nowhere is not a folder"),
        (["trainer.max_steps=x"], "error: the config is invalid (trainer.max_steps"),
        (["trainer.max_stepps=1"], "error: Could not override 'trainer.max_stepps'"),
        (["model=nothing"], "error: In 'train': Could not find 'model/nothing'"),
        (["data.root=${nowhere}"], "error: the config is invalid (data.root: Interpolation key 'nowhere' not found)"),
        (["data.root='"], "error: "),
        (["-m", "seed=1,2", "data.root=/nowhere"], "error: data.root=/nowhere is not a folder"),
        (["-m", "seed=1,2", "model=nothing"], "error: In 'train': Could not find 'model/nothing'"),
        (["-m", "hydra/launcher=joblib", "seed=1,2", "data.root=/nowhere"], "error: data.root=/nowhere is not a"),
    ],
)
def test_an_error_is_one_message_without_lines_of_hydra(
    process: Run, toy: Path, overrides: list[str], message: str
) -> None:
    done = process("train", *SHORT, f"data.root={toy}", *overrides)
    refused(done, message)
    lines = done.stderr.splitlines()
    (start,) = (number for number, line in enumerate(lines) if line.startswith("error: "))
    assert lines[start].startswith(message) and "HYDRA_FULL_ERROR" not in done.stderr
    assert "Error executing job" not in done.stderr and not "".join(lines[:start]), done.stderr


_INVALID, _LOGGER = "error: the config is invalid", "error: Unable to configure root logger"
_NAME = "correct the name in ${…}"
_LOGGING = "correct hydra.job_logging, hydra.hydra_logging and hydra.verbose"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("name=${nothing}", f"{_INVALID} (hydra.run.dir: Interpolation key 'nothing' not found): {_NAME}"),
        ("model.net.width=${nothing}", f"{_INVALID} (model.net.width: Interpolation key 'nothing' not found): {_NAME}"),
        ("data.root=${data.root}", f"{_INVALID} (data.root: Recursive interpolation detected): {_NAME}"),
        ("seed=${nothing:1}", f"{_INVALID} (seed: Unsupported interpolation type nothing): {_NAME}"),
        ("hydra.job_logging.root.level=NOPE", f"{_LOGGER} (Unknown level: 'NOPE'): {_LOGGING}"),
        ("hydra.hydra_logging.root.level=NOPE", f"{_LOGGER} (Unknown level: 'NOPE'): {_LOGGING}"),
        ("hydra.job_logging.version=7", f"error: Unsupported version: 7: {_LOGGING}"),
        (
            "hydra.job_logging.formatters.simple.format='%(foo)s'",
            "error: the log format fails (ValueError: Formatting field not found in record: 'foo'): "
            "correct hydra.job_logging",
        ),
        ("hydra.verbose=[1]", f"error: A logger name must be a string: {_LOGGING}"),
    ],
)
def test_a_value_that_the_config_cannot_use_is_one_line(override: str, message: str, deblurzoo: Run) -> None:
    done = deblurzoo("train", *SHORT, "data.root=x", override)
    refused(done, f"{message}\n")
    assert done.stderr.count("\n") == 1


_LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
from deblurzoo.cli import main
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
def test_a_lack_of_memory_is_one_message(toy: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _LIMITED, "train", *SHORT, f"data.root={toy}", "model.net.width=500"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    refused(done, "error: there is too little memory (", "use smaller batches, crops or images, or a smaller network")


@pytest.mark.parametrize(
    ("override", "limit"), [("datamodule.workers=100000", "256"), ("datamodule.batch_size=1000000000", "100000")]
)
def test_numbers_that_no_machine_can_serve_are_refused(override: str, limit: str, deblurzoo: Run, toy: Path) -> None:
    done = deblurzoo("train", *SHORT, f"data.root={toy}", override)
    refused(done, f"error: {override} is invalid for DeblurDataModule: Input should be less than or equal to {limit}")


def test_an_unknown_error_keeps_its_traceback(
    deblurzoo: Run, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "from deblurzoo.data import Toy\n\nclass Odd(Toy):\n    def clip_files(self, split):\n        return 1 / 0\n"
    (tmp_path / "odddata.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    done = deblurzoo("data", "check", "data=toy", f"data.root={toy}", "data._target_=odddata.Odd")
    assert done.returncode == 1
    assert "Traceback" in done.stderr and "ZeroDivisionError" in done.stderr and "odddata.py" in done.stderr


def test_full_traceback_on_request(deblurzoo: Run) -> None:
    done = deblurzoo("train", *SHORT, "data=gopro", "data.blur=blur", "data.root=/nowhere", HYDRA_FULL_ERROR="1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr and "DeblurzooError" in done.stderr
