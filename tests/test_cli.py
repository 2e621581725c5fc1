"""The command line itself: completion by shells, missing extras, types for the code of users."""

import importlib.resources
import subprocess
import sys

import pytest

from conftest import Run
from verbs import refused


def test_completion_is_installed_for_deblurzoo(deblurzoo: Run) -> None:
    for arguments in (["-sc", "install=bash"], ["train", "--shell-completion", "install=bash"]):
        done = deblurzoo(*arguments)
        assert done.returncode == 0, done.stderr
        shell = ["bash", "-c", f"{done.stdout}\ncomplete -p deblurzoo"]
        installed = subprocess.run(shell, capture_output=True, text=True, check=True)
        assert installed.stdout.endswith("-F hydra_bash_completion deblurzoo\n")


@pytest.mark.parametrize(
    ("line", "completions"),
    [
        ("deblurzoo ", "train evaluate deblur compare export import benchmark experiments synthesize data"),
        ("deblurzoo data ", "toy check pack show"),
        ("deblurzoo train debug=", "debug=smoke"),
        ("deblurzoo data check data=gopro_b", "data=gopro_blur data=gopro_blur_1100 data=gopro_blur_dvd "
         "data=gopro_blur_gamma data=gopro_blur_gamma_1100"),
        ("deblurzoo train trainer=cpu datamodule.w", "datamodule.workers="),
        ("deblurzoo deblur a", ""),
        ("deblurzoo nothing ", ""),
    ],
)  # fmt: skip
def test_completions(line: str, completions: str, deblurzoo: Run) -> None:
    done = deblurzoo("-sc", "query=bash", COMP_LINE=line)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == completions


@pytest.mark.parametrize(
    ("choice", "package"),
    [
        ("hydra/launcher=joblib", "hydra_joblib_launcher"),
        ("hydra/launcher=slurm", "hydra_submitit_launcher"),
        ("hydra/sweeper=search", "hydra_optuna_sweeper"),
    ],
)
def test_a_launcher_without_its_extra(
    choice: str, package: str, deblurzoo: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, f"hydra_plugins.{package}", None)  # as if it were not installed
    done = deblurzoo("train", "-m", choice, "seed=0,1")
    refused(done, f"error: {choice} requires a package that is not installed: pip install 'deblurzoo[sweep]'\n")


def test_types_are_for_users_too() -> None:
    assert importlib.resources.files("deblurzoo").joinpath("py.typed").is_file()
