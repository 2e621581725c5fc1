"""The command line itself: completion by shells, missing extras, types for the code of users."""

import importlib.resources
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Run
from verbs import refused


@pytest.mark.parametrize("command", ["--help", "train --help", "weights"])
def test_a_reader_of_the_output_may_end_first(command: str) -> None:
    arguments = [sys.executable, "-m", "deblurzoo", *command.split()]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        process.stdout.close()  # as `head` does
        assert process.stderr.read() == b""
        assert process.wait() != 0


def test_completion_is_installed_for_deblurzoo(deblurzoo: Run) -> None:
    for arguments in (["-sc", "install=bash"], ["train", "--shell-completion", "install=bash"]):
        done = deblurzoo(*arguments)
        assert done.returncode == 0, done.stderr
        shell = ["bash", "-c", f"{done.stdout}\ncomplete -p deblurzoo"]
        installed = subprocess.run(shell, capture_output=True, text=True, check=True)
        assert installed.stdout.endswith("-F _deblurzoo deblurzoo\n")


@pytest.mark.parametrize(
    ("line", "completions"),
    [
        (
            "deblurzoo ",
            "train evaluate verify deblur weights compare export import benchmark experiments synthesize data",
        ),
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
    assert done.stdout.split() == completions.split()


def test_completion_of_paths(deblurzoo: Run, tmp_path: Path) -> None:
    (tmp_path / "runs" / "first").mkdir(parents=True)
    (tmp_path / "runs" / "second one").mkdir()
    (tmp_path / "runs.txt").touch()
    completions = {
        "evaluate checkpoint=ru": "checkpoint=runs.txt checkpoint=runs/",
        "evaluate checkpoint=runs/": "checkpoint=runs/first/",
        f"train data.root={tmp_path}/runs/f": f"data.root={tmp_path}/runs/first/",
        "train init=nothing": "",
    }
    for line, expected in completions.items():
        done = deblurzoo("-sc", "query=bash", COMP_LINE=f"deblurzoo {line}")
        assert sorted(done.stdout.split()) == expected.split(), done.stderr


def test_completions_for_fish_are_one_per_line(deblurzoo: Run) -> None:
    assert deblurzoo("-sc", "query=fish", COMP_LINE="deblurzoo data ").stdout == "toy\ncheck\npack\nshow\n"


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_completes_commands_overrides_and_files(tmp_path: Path) -> None:
    (tmp_path / "photo.png").touch()
    lines = {
        "tra": "train",
        "train debug=sm": "debug=smoke",
        "deblur pho": "photo.png",
        "data toy --out pho": "photo.png",
    }
    code = "".join(f"complete -C 'deblurzoo {line}'\n" for line in lines)
    done = subprocess.run(
        ["fish", "-c", f"deblurzoo -sc install=fish | source\n{code}"],
        **{"capture_output": True, "text": True, "check": True, "cwd": tmp_path},
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    assert done.stdout.split() == list(lines.values()), done.stderr


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_installs_the_completion(deblurzoo: Run, tmp_path: Path) -> None:
    script = deblurzoo("-sc", "install=zsh").stdout
    shell = ["zsh", "-f", "-c", f"{script}\nprint $_comps[deblurzoo]"]
    done = subprocess.run(shell, capture_output=True, text=True, env={**os.environ, "HOME": str(tmp_path)}, check=False)
    assert "_deblurzoo" in done.stdout and not done.stderr, done.stderr


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


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train data=toy seed=4294967296", "seed=4294967296: Input should be less than 4294967296"),
        ("data toy --out new --seed -1", "argument --seed: -1 must be a whole number of at least 0"),
    ],
)
def test_seeds_out_of_bounds(line: str, message: str, deblurzoo: Run) -> None:
    done = deblurzoo(*line.split())
    refused(done, message, code=done.returncode or 1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("data pack data=toy data.root=toy out=pack model=null", "Could not delete 'model'"),
        ("train model=7", "Could not find 'model/7'"),
        ("train --resolve data.root=toy", "error: --resolve has no effect without --cfg: add --cfg job, or omit it"),
        ("train -sc data.root=toy", "error: -sc requires one argument: type install=SHELL, where SHELL"),
        ("-sc install=bash seed=1", "error: -sc requires one argument: type install=SHELL, where SHELL"),
        ("train -sc install=tcsh", "error: -sc requires one argument: type install=SHELL, where SHELL"),
        ("train -m data=toy --cfg job", "error: -m and --cfg exclude each other: give one of them"),
        ("train --run -i config", "error: --run and --info exclude each other: give one of them"),
        (
            "data check data=toy against=gopro",
            "the config is invalid (against=gopro: Input should be a valid dictionary",
        ),
        ("data check data=toy -m --out x", "unrecognized arguments: --out"),
        ("deblur = --checkpoint --out", "argument --checkpoint: expected one argument"),
        ("compare -- --csv", "error: --csv has no results.json"),
        ("evaluate data= checkpoint=x", "error: data= is empty: give a value, or omit it"),
        ("synthesize x --out y --frames 5-3-1", "error: "),
    ],
)
def test_words_options_and_overrides_in_wrong_places(
    line: str, message: str, deblurzoo: Run, toy: Path, tmp_path: Path
) -> None:
    """A sample of the command lines that a fuzzer has made of valid ones."""
    (tmp_path / "toy").symlink_to(toy)
    done = deblurzoo(*line.split(" "))
    assert done.returncode in (1, 2) and message in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"toy"}


@pytest.mark.parametrize(
    "arguments",
    [
        *(["compare", "run", option, ""] for option in ("--wandb", "--to-wandb", "--wandb-report", "--csv", "--html")),
        *(["compare", "run", option, ""] for option in ("--latex", "--markdown", "--by-data", "--trust")),
        *(["deblur", "a.png", option, ""] for option in ("--out", "--checkpoint", "--memory", "--device")),
        *([verb, ""] for verb in ("deblur", "compare", "synthesize", "import", "verify", "train", "evaluate")),
        *(["train", "--config-dir", ""], ["data", "check", ""]),
    ],
)
def test_an_empty_argument_is_an_error(arguments: list[str], deblurzoo: Run, tmp_path: Path) -> None:
    """The current folder would be the input, or the option would be ignored."""
    place = " ".join(arguments[-2:-1] if arguments[0] != "data" else arguments[:-1])
    refused(deblurzoo(*arguments), f"error: the argument after {place} is empty: give a value, or omit it\n")


@pytest.mark.parametrize(
    "line",
    [
        *("compare run --wandb=", "deblur a.png --out=", "deblur a.png --memory=", "train --config-dir="),
        *("train experiment=", "train paths.runs=", "train resume=", "evaluate checkpoint=x out=", "data pack data="),
    ],
)
def test_a_key_or_option_without_a_value_is_an_error(line: str, deblurzoo: Run, tmp_path: Path) -> None:
    done = deblurzoo(*line.split())
    refused(done, f"error: {line.split()[-1]} is empty: give a value, or omit it\n")


@pytest.mark.parametrize("option", ["--wandb", "--wandb-report"])
@pytest.mark.parametrize("project", ["project", "team/", "/project", "a/b/c"])
def test_a_project_without_an_entity(option: str, project: str, deblurzoo: Run) -> None:
    refused(deblurzoo("compare", "run", option, project), f"argument {option}: ", "give ", "ENTITY/PROJECT", code=2)


def test_null_chooses_no_config_of_a_group(deblurzoo: Run) -> None:
    done = deblurzoo("train", "preset=null", "recipe=null", "data.root=/x", "--cfg", "job")
    assert done.returncode == 0 and "compile: false" in done.stdout, done.stderr


def test_types_are_for_users_too() -> None:
    assert importlib.resources.files("deblurzoo").joinpath("py.typed").is_file()
