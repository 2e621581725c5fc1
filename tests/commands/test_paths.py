"""Paths on the command line: `~` is the home folder; for a path that Hydra cannot read, the message adds quotes."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import deblurzoo as package
from conftest import TINY, TINY_RUN, Run
from verbs import refused


@pytest.fixture
def home(trained_run: Path, toy: Path, tmp_path: Path) -> Path:
    """A home folder with toy data, images, a run, and a folder of configs with an experiment that contains `~`."""
    folder = tmp_path / "home"
    shutil.copytree(trained_run, folder / "run")
    (folder / "toy").symlink_to(toy)
    (folder / "clip").symlink_to(min(toy.glob("test/*")))
    for name in ("picture.png", "other.png"):
        shutil.copy(min(folder.glob("clip/blur/*.png")), folder / name)
    (folder / "conf" / "experiment").mkdir(parents=True)
    (folder / "conf" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndata: {root: ~/toy}\npaths: {runs: ~/runs}\nname: mine\ntrainer: {max_steps: 1}\n"
    )
    return folder


@pytest.mark.parametrize(
    ("command", "made"),
    [
        ("evaluate checkpoint=~/run data=toy data.root=~/toy out=~/results pictures=0", "results/results.json"),
        ("evaluate checkpoint=~/run data=folder data.test.blur=~/clip/blur data.test.sharp=~/clip/sharp out=~/results",
         "results/results.json"),
        ("data check data=toy data.root=~/toy", None),
        ("data pack data=toy data.root=~/toy out=~/packed", "packed/index.json"),
        ("data show data.root=~/toy datamodule.augmentation.crop=16 samples=1 out=~/samples.png", "samples.png"),
        ("data toy --out=~/more --train-clips 1 --test-clips 1 --frames 3 --height 16 --width 16", "more/test"),
        ("deblur ~/picture.png --checkpoint=~/run --out=~/restored", "restored/picture.png"),
        ("export --checkpoint=~/run --out=~/export", "export/config.json"),
        ("synthesize ~/picture.png ~/other.png --shake 1-2 --out=~/blurred", "blurred/synthesis.yaml"),
    ],
)  # fmt: skip
def test_a_tilde_is_the_home_folder(command: str, made: str | None, deblurzoo: Run, home: Path, tmp_path: Path) -> None:
    done = deblurzoo(*command.split(), HOME=str(home))
    assert done.returncode == 0, done.stderr
    assert not made or (home / made).exists()
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("option", ["csv", "markdown", "html"])
def test_a_tilde_is_the_home_folder_to_compare(option: str, deblurzoo: Run, home: Path) -> None:
    variables = {"HOME": str(home)}
    assert deblurzoo("evaluate", "checkpoint=~/run", "data=toy", "data.root=~/toy", **variables).returncode == 0
    done = deblurzoo("compare", "~/run", f"--{option}=~/table", **variables)
    assert done.returncode == 0, done.stderr
    assert (home / "table").is_file()


def test_a_tilde_is_the_home_folder_in_python(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(home))
    assert package.load("~/run").frames == 1


@pytest.mark.parametrize("more", [[], ["-m", "seed=1"]])
@pytest.mark.parametrize("option", [["--config-dir=~/conf"], ["--config-dir", "~/conf"]])
def test_a_tilde_is_the_home_folder_in_a_users_experiment(
    option: list[str], more: list[str], deblurzoo: Run, home: Path, tmp_path: Path
) -> None:
    done = deblurzoo("train", *option, *more, *TINY, "experiment=mine", HOME=str(home))
    assert done.returncode == 0, done.stderr
    assert list(home.glob("runs/mine/**/config.yaml"))
    assert not (tmp_path / "~").exists()


def test_a_tilde_is_the_home_folder_for_the_run_and_its_start(deblurzoo: Run, home: Path, tmp_path: Path) -> None:
    more = ["name=longer", "paths.runs=~/runs", "data.root=~/toy", "resume=~/run", "trainer.max_steps=4"]
    done = deblurzoo("train", *TINY, *more, HOME=str(home))
    assert done.returncode == 0, done.stderr
    assert (home / "runs/longer/checkpoints/step_00000004.ckpt").is_file()
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("path", ["2021", "a=b", "a=b,c", "a (1)", "größe", "it's, b", "a=\\"])
def test_every_path_is_taken_or_answered_with_the_quotes_it_needs(path: str, deblurzoo: Run) -> None:
    def evaluate(argument: str) -> str:
        done = deblurzoo("evaluate", argument, "data=toy")
        refused(done, "error: ")
        assert "hydra.cc" not in done.stderr
        return str(done.stderr)

    found = f"error: checkpoint {path} does not exist"
    told = evaluate(f"checkpoint={path}")
    if found not in told:
        assert told.count("\n") == 1 and "; " in told
        (argument,) = shlex.split(told.partition(" type ")[2].partition("; for a list")[0])
        assert found in evaluate(argument)


def test_the_message_for_a_sweeps_folder(deblurzoo: Run) -> None:
    done = deblurzoo("evaluate", "checkpoint=runs/a=b,c", "data=toy")
    refused(
        done, """error: checkpoint=runs/a=b,c cannot be read: '=' ',' need quotes; type 'checkpoint="runs/a=b,c"'\n"""
    )


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ('checkpoint="runs/a', """cannot be read: a quote is not closed; type 'checkpoint="runs/a"'"""),
        ("checkpoint=[~/a", """cannot be read: '[' '~' need quotes; type 'checkpoint="[~/a"'"""),
        ("tags=[~/a=b,c]", """cannot be read: '~' '=' need quotes; type 'tags=["~/a=b",c]'"""),
        (
            "tags=a,b",
            """has several values: for one run per value, add -m; for a single text, type 'tags="a,b"'; for a list""",
        ),
        ("experiment=glob(srn*)", "has several values: for one run per value, add -m"),
        ("experiment", "experiment is not an override: type experiment=VALUE"),
        ("größe=1", "größe=1 cannot be read: größe is not a key"),
    ],
)
def test_what_is_no_override(argument: str, message: str, deblurzoo: Run, tmp_path: Path) -> None:
    done = deblurzoo("train", argument)
    refused(done, f"error: {argument} ", message)
    assert "hydra.cc" not in done.stderr and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("sweep", [[], ["-m", "seed=0,1"]])
@pytest.mark.parametrize("name", ["..", ".", "", " ", "a\nb", "../up", "/up", "a/../../up", 300 * "x"])
def test_a_name_that_is_not_a_folder_below_the_runs_is_rejected(
    name: str, sweep: list[str], deblurzoo: Run, toy: Path, tmp_path: Path
) -> None:
    done = deblurzoo("train", *TINY_RUN, f"data.root={toy}", f"name='{name}'", *sweep)
    refused(done, f"error: name={name} is not the name of a folder below paths.runs")
    assert {path.name for path in tmp_path.rglob("*")} <= {"runs", "multirun.yaml"}


def test_the_id_of_a_trial_is_a_folder_below_the_runs(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    agent = {"WANDB_SWEEP_ID": "sweep", "WANDB_RUN_ID": "../../esc"}
    done = deblurzoo("train", *TINY_RUN, f"data.root={toy}", **agent)
    refused(done, "error: WANDB_RUN_ID=../../esc is not the name of a folder below paths.runs")
    assert not [*tmp_path.rglob("*")]


@pytest.mark.parametrize("command", ["data check data=synthesized data.blur=blur", "data pack data=toy out=pück"])
def test_names_are_utf8_also_under_a_locale_of_another_encoding(
    command: str, toy: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "d ü").symlink_to(toy)
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    arguments = [sys.executable, "-m", "deblurzoo", *command.split(), "data.root=d ü"]
    done = subprocess.run(
        arguments, cwd=tmp_path, env={**environment, **locale}, capture_output=True, encoding="utf-8", timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "no problems" in done.stdout or (tmp_path / "pück" / "index.json").is_file()
