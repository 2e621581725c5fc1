"""Trained networks that are part of deblurzoo: their scores, names in place of paths, and the default of `deblur`."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import deblurzoo as library
from conftest import Run
from deblurzoo import shipped
from deblurzoo.commands.weights import SCORES, Scores
from deblurzoo.errors import DeblurzooError
from deblurzoo.media.images import read_image, write_png
from deblurzoo.records import load_record
from deblurzoo.synthesis.toy import PHOTOGRAPHS
from deblurzoo.training.checkpoints import load_any

NETWORKS = shipped.names()
MEGABYTE = 10**6


def scores(name: str) -> Scores:
    return load_record(shipped.FOLDER / name / SCORES, Scores, "")


def photo(folder: Path) -> Path:
    blurry = cv2.blur(read_image(PHOTOGRAPHS["test"][0])[:100, :160], (5, 1))
    write_png(folder / "photo.png", blurry)
    return folder / "photo.png"


def test_the_networks_are_small() -> None:
    files = [*shipped.FOLDER.glob("*/model.safetensors")]
    assert len(files) == len(NETWORKS) and sum(file.stat().st_size for file in files) <= 6 * MEGABYTE
    assert sum(file.stat().st_size for file in shipped.FOLDER.glob("*/*.jpg")) <= 2 * MEGABYTE


def test_the_default_is_worth_it() -> None:
    if shipped.DEFAULT is None:
        return
    simulated, *real = scores(shipped.DEFAULT).tests
    assert simulated.gain >= 0.5 and max(test.gain for test in real) >= 0.1
    assert min(test.unharmed for test in (simulated, *real)) >= 40


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_listed_with_its_scores(deblurzoo: Run, name: str, tmp_path: Path) -> None:
    done = deblurzoo("weights")
    assert done.returncode == 0, done.stderr
    for test in scores(name).tests:
        assert test.test in done.stdout and f"{test.gain:+.2f}" in done.stdout
    assert f"{name}{', the default of `deblurzoo deblur`' if name == shipped.DEFAULT else ''}: " in done.stdout


@pytest.mark.parametrize("name", NETWORKS)
def test_a_name_stands_for_the_network(deblurzoo: Run, name: str, toy: Path, tmp_path: Path) -> None:
    """The name is the checkpoint in results, and results are not written into the installation."""
    evaluation = ["evaluate", f"checkpoint={name}", "data=toy", f"data.root={toy}", "trainer=cpu", "pictures=0"]
    done = deblurzoo(*evaluation, "datamodule.workers=0")
    assert done.returncode == 0, done.stderr
    (results,) = (tmp_path / "runs" / name / "evaluate").glob("*/results.json")
    assert json.loads(results.read_text())["checkpoint"]["file"] == name
    assert not (shipped.FOLDER / name / "evaluate").exists()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_folder_is_preferred_to_a_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_any(Path(name)).frames in (1, 2, 3)
    Path(name).mkdir()
    with pytest.raises(DeblurzooError, match="has no checkpoints"):
        load_any(Path(name))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_name_restores_a_photo(deblurzoo: Run, name: str, tmp_path: Path) -> None:
    done = deblurzoo("deblur", photo(tmp_path), "--checkpoint", name)
    assert done.returncode == 0, done.stderr
    restored, blurry = read_image(tmp_path / "deblurred" / "photo.png"), read_image(tmp_path / "photo.png")
    assert np.array_equal(restored, library.load(name)(blurry)) and not np.array_equal(restored, blurry)


def test_a_photo_is_restored_without_other_arguments(deblurzoo: Run, tmp_path: Path) -> None:
    done = deblurzoo("deblur", photo(tmp_path))
    if shipped.DEFAULT is None:
        assert done.returncode == 1 and "--checkpoint is missing" in done.stderr
        assert all(name in done.stderr for name in NETWORKS) and not (tmp_path / "deblurred").exists()
        return
    assert done.returncode == 0, done.stderr
    restored = read_image(tmp_path / "deblurred" / "photo.png")
    assert np.array_equal(restored, library.load()(read_image(tmp_path / "photo.png")))
    assert not np.array_equal(restored, read_image(tmp_path / "photo.png"))


def test_an_unknown_name_is_reported(deblurzoo: Run, tmp_path: Path) -> None:
    done = deblurzoo("deblur", photo(tmp_path), "--checkpoint", "nafnet-smal")
    assert done.returncode == 1 and "nafnet-smal does not exist" in done.stderr and "`deblurzoo weights`" in done.stderr
    assert not (tmp_path / "deblurred").exists()
