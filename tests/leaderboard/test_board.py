"""The leaderboard: its files and tables, and a copy with results."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Run
from deblurzoo.reports.results import Facts, NothingToRestore, Results, read

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.processes


def board(folder: Path, *options: object) -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, folder / "board.py", *options]
    return subprocess.run([*map(str, program)], capture_output=True, text=True, check=False)


def test_the_leaderboard_is_up_to_date(tmp_path: Path) -> None:
    done = board(ROOT / "leaderboard", "--check", "--page", tmp_path / "page.html")
    assert done.returncode == 0, done.stderr
    assert "<html" in (tmp_path / "page.html").read_text()


@pytest.fixture
def copy(deblurzoo: Run, toy: Path, identity: Path, tmp_path: Path) -> Path:
    """A leaderboard with the results of a network and of restored images on the same data."""
    data = ["data=toy", f"data.root={toy}", "trainer=cpu", "datamodule.workers=1", "pictures=0"]
    restored = f"restored={toy}/test/TOY_test_000/blur"
    for subject in ((f"checkpoint={identity}",), (restored, "name=theirs", "source=https://example.org")):
        done = deblurzoo("evaluate", *subject, *data)
        assert done.returncode == 0, done.stderr
    folder = tmp_path / "leaderboard"
    shutil.copytree(ROOT / "leaderboard", folder, ignore=shutil.ignore_patterns("*.json"))
    for name in ("identity", "theirs"):
        shutil.copy(tmp_path / "runs" / name / "evaluate" / "toy_blur" / "results.json", folder / f"{name}_toy.json")
    return folder


def test_a_method_comes_by_a_file(copy: Path) -> None:
    done = board(copy, "--check")
    assert done.returncode == 1 and "not up to date: run `python leaderboard/board.py`" in done.stderr
    assert board(copy).returncode == 0 and board(copy, "--check", "--page", copy / "page.html").returncode == 0
    text = (copy / "README.md").read_text()
    assert text.startswith("# Leaderboard") and "no results yet" not in text
    psnr = json.loads((copy / "theirs_toy.json").read_text())["restored"]["psnr"]
    assert f"| theirs | {psnr:.2f} |" in text and "theirs minus identity, PSNR" in text
    assert "https://example.org" in (copy / "page.html").read_text()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("restored", "psnr"), 99.0, "theirs_toy.json: restored does not follow from the values per image"),
        (("data", "fingerprint"), "", "theirs_toy.json: no fingerprint of the test images"),
        (("data", "fingerprint"), "0", "theirs_toy.json: its test images differ from identity_toy.json"),
        (("source",), None, "theirs_toy.json: no source of the restored images"),
        (("incomplete_clips",), ["a"], "theirs_toy.json: 1 test clips are incomplete"),
        (("name",), "identity", "theirs_toy.json: identity_toy.json has the same network"),
    ],
)
def test_wrong_files_are_named(path: tuple[str, ...], value: object, message: str, copy: Path) -> None:
    file = copy / "theirs_toy.json"
    content = json.loads(file.read_text())
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    file.write_text(json.dumps(content))
    before = (copy / "README.md").read_text()
    done = board(copy)
    assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr
    assert (copy / "README.md").read_text() == before


def test_frames_without_neighbours_may_be_missing(copy: Path) -> None:
    file = copy / "theirs_toy.json"
    results = read(file)
    fewer = Results.of(Facts(**{key: getattr(results, key) for key in Facts.model_fields}), results.images[:-1])
    fewer.data.fingerprint = "0"
    file.write_bytes(fewer.as_json())
    assert board(copy).returncode == 0 and board(copy, "--check").returncode == 0
    assert f"{results.frames - 1} frames" in (copy / "README.md").read_text()


def test_no_image_is_left_out(copy: Path) -> None:
    file = copy / "theirs_toy.json"
    results = read(file)
    facts = Facts(**{key: getattr(results, key) for key in Facts.model_fields})
    last = results.images[-1]
    without = [*results.images[:-1], NothingToRestore(clip=last.clip, frame=last.frame)]
    for rows, message in (
        (without, "theirs_toy.json: its test images differ from identity_toy.json"),
        ([*results.images, last], f"theirs_toy.json: several values are stored for {last.id}"),
    ):
        file.write_bytes(Results.of(facts, rows).as_json())
        done = board(copy)
        assert done.returncode == 1 and message in done.stderr, done.stderr
