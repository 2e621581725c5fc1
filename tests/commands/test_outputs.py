"""Paths of results are checked before the work; folders without permission and long names are reported, not traced."""

import os
import shutil
from pathlib import Path

import pytest

from conftest import SHORT, TINY, Run
from verbs import refused

LONG = 300 * "x"
VERBS = {
    "deblur": "deblur picture.png --checkpoint nothing --out {}",
    "csv": "compare nothing --csv {}",
    "markdown": "compare nothing --markdown {}",
    "html": "compare nothing --html {}",
    "latex": "compare nothing --latex {}",
    "export": "export --checkpoint nothing --out {}",
    "import": "import nothing --network srn --out {}",
    "benchmark": "benchmark --networks srn --out {}",
    "synthesize": "synthesize nothing --out {}",
    "toy": "data toy --out {}",
    "evaluate": "evaluate checkpoint=runs/run data=toy data.root=nothing out={}",
    "pack": "data pack data=toy data.root=nothing out={}",
    "show": "data show data.root=nothing out={}",
    "train": "train data.root=nothing paths.runs={}",
    "sweep": "train data.root=nothing paths.runs={} -m seed=0,1",
}
"""Commands without valid inputs: if the message names the output, then it was checked first."""
FILES = ("csv", "markdown", "html", "latex", "show")
"""Commands whose output is a file."""
EXISTS = {
    **dict.fromkeys(VERBS, "is not a folder: "),
    "train": "file is not a folder): ",
    **dict.fromkeys(FILES, "is a folder: "),
    **dict.fromkeys(("export", "import", "toy"), "exists already: remove it or "),
}


@pytest.mark.parametrize("verb", VERBS)
def test_an_output_that_cannot_be_written_is_reported_before_the_work(
    verb: str, deblurzoo: Run, run: Path, obeying: None, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "closed").mkdir(mode=0o500)
    (tmp_path / "folder").mkdir()
    wrong = {
        "folder" if verb in FILES else "file": EXISTS[verb],
        "file/below/out": "file is not a folder)",
        "closed/out": "closed)",
        f"{LONG}/out": "(File name too long)",
        f"new/{LONG}": "(File name too long)",
    }
    for out, reason in wrong.items():
        done = deblurzoo(*VERBS[verb].format(out).split())
        refused(done, f"{out}", reason, "choose another ")
        (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
        assert out in line and "nothing" not in line
    assert (tmp_path / "file").read_text() == "mine" and not list((tmp_path / "closed").iterdir())
    assert not list((tmp_path / "folder").iterdir())


@pytest.mark.parametrize("name", ["taken", f"{250 * 'x'}.html"])
def test_a_folder_for_the_images_of_a_page_that_cannot_be_written(name: str, deblurzoo: Run, tmp_path: Path) -> None:
    page = tmp_path / name
    (tmp_path / "taken_files").write_text("mine")
    (tmp_path / "runs").mkdir()
    refused(deblurzoo("compare", "runs", "--html", page), f"error: --html {page}: ", "_files ", "choose another folder")
    assert "runs has no results.json" in deblurzoo("compare", "runs", "--html", page, "--inline").stderr


@pytest.mark.parametrize("target", ["gone", "out"])
@pytest.mark.parametrize("below", ["", "/below"])
def test_a_link_to_a_folder_that_does_not_exist(target: str, below: str, deblurzoo: Run, tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(target)
    reason = f"out{below} cannot be written ({tmp_path}/out is not a folder)"
    for command in (
        f"deblur a.png --checkpoint x --out out{below}",
        f"train data.root=x paths.runs=out{below} -m seed=0",
    ):
        refused(deblurzoo(*command.split()), reason)


def test_the_evaluation_of_a_run_in_a_folder_without_permission(
    deblurzoo: Run, run: Path, toy: Path, obeying: None
) -> None:
    run.chmod(0o500)
    arguments = ["evaluate", "checkpoint=runs/run", "data=toy", f"data.root={toy}"]
    refused(deblurzoo(*arguments), "error: out=runs/run/evaluate cannot be written (no permission to write in ")
    assert deblurzoo(*arguments, "out=elsewhere", "pictures=0", "trainer=cpu").returncode == 0
    run.chmod(0o700)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("moved base", "deblurzoo evaluate 'checkpoint=runs/moved base' data=toy"),
        ("it's, mine", """deblurzoo evaluate 'checkpoint="runs/it'"'"'s, mine"' data=toy"""),
        ("2021", "deblurzoo evaluate checkpoint=runs/2021 data=toy"),
    ],
)
def test_the_command_that_is_next_can_be_typed(name: str, told: str, deblurzoo: Run, toy: Path) -> None:
    done = deblurzoo("train", *TINY, "trainer.max_steps=1", f"data.root={toy}", f'name="{name}"')
    assert done.returncode == 0, done.stderr
    assert f"Next: {told} …" in done.stdout + done.stderr


def test_relative_paths_are_those_of_the_shell_even_if_hydra_changes_the_folder(
    deblurzoo: Run, toy: Path, tmp_path: Path
) -> None:
    shutil.copytree(toy, tmp_path / "toy")
    arguments = [*SHORT, "data.root=toy", "trainer.max_steps=1", "hydra.job.chdir=true"]
    done = deblurzoo("train", *arguments)
    assert done.returncode == 0, done.stderr
    assert "deblurzoo evaluate checkpoint=runs/run data=toy" in done.stdout + done.stderr
    done = deblurzoo("train", *arguments, "name=sweep", "-m", "seed=0,1")
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("runs/sweep/seed-*/evaluate/toy_blur/results.json"))) == 2
    done = deblurzoo("evaluate", "checkpoint=runs/run", "data=toy", "data.root=toy", "hydra.job.chdir=true")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "deblur picture.png --checkpoint {} --out out",
        "compare {}",
        "export --checkpoint {} --out out",
        "import {} --network srn --out out",
        "synthesize {} --out out",
        "evaluate checkpoint={} data=toy data.root=toy",
        "evaluate checkpoint=runs/run data=toy data.root={}",
        "evaluate checkpoint=runs/run data=folder data.test.blur={} data.test.sharp={}",
        "data check data=toy data.root={}",
        "data check data=photos data.root={}",
        "data check data=kohler data.root={}",
        "data check data=toy data.packed={}",
        "data pack data=toy data.root={} out=out",
        "data show data.root={}",
        "train data.root={}",
        "train data.root=toy name=other init={}",
        "train data.root=toy name=other resume={}",
        "train data=photos data.root=photos data.train.names={}",
        "train --config-dir {} data.root=toy",
    ],
)
def test_an_input_that_cannot_be_opened_is_reported_with_the_systems_reason(
    command: str, deblurzoo: Run, run: Path, toy: Path, photos: Path, obeying: None, tmp_path: Path
) -> None:
    (tmp_path / "toy").symlink_to(toy)
    (tmp_path / "closed").mkdir(mode=0)
    for path, reason in (
        ("closed/inside", "Permission denied"),
        ("closed", "Permission denied"),
        (LONG, "File name too long"),
    ):
        done = deblurzoo(*command.format(path, path).split())
        refused(done, path, reason)
        lines = [line for line in done.stderr.splitlines() if reason in line]
        assert len(lines) == len({*lines}) <= (2 if "data check" in command else 1)  # both splits are checked
    assert not (tmp_path / "out").exists()
    (tmp_path / "closed").chmod(0o700)


def test_a_folder_of_checkpoints_without_permission_is_reported_before_training(
    deblurzoo: Run, run: Path, toy: Path, obeying: None
) -> None:
    (run / "checkpoints").chmod(0o500)
    done = deblurzoo("train", *SHORT, f"data.root={toy}", "resume=auto", "trainer.max_steps=4")
    refused(done, "error: the folder runs/run/checkpoints cannot be written (no permission to write in ")
    assert "training 4/4" not in done.stdout + done.stderr
    (run / "checkpoints").chmod(0o700)


def test_pipes_and_devices_are_not_replaced(deblurzoo: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = deblurzoo("compare", "x", "--csv", "pipe")
    refused(done, "error: --csv pipe is a pipe or device, which cannot be replaced: choose another file\n")
    assert (tmp_path / "pipe").is_fifo()
