"""`deblurzoo deblur` as a person uses it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conftest import Run
from deblurzoo import load
from deblurzoo.deblur import find_jobs, main
from deblurzoo.errors import DeblurzooError


def noise(seed: int = 0, size: tuple[int, int] = (40, 52)) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def save(path: Path, seed: int = 0, size: tuple[int, int] = (40, 52)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(seed, size)).save(path)
    return path


def opened(path: Path) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(path))


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_folder_with_a_bad_file_goes_on_and_says_so(deblurzoo: Run, identity: Path, tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", 1)
    save(tmp_path / "in" / "deep" / "er" / "b.PNG", 2)
    Image.fromarray(noise()[..., 0]).save(tmp_path / "in" / "gray.png")
    (tmp_path / "in" / "notes.txt").write_text("no picture, and not taken for one")
    cut = save(tmp_path / "in" / "cut.png")
    cut.write_bytes(cut.read_bytes()[:3000])
    arguments = ["deblur", "in", "--checkpoint", identity, "--out", "in/out"]
    done = deblurzoo(*arguments, "--compare")
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    errors = done.stderr.splitlines()
    assert len(errors) == 2 and errors[0].startswith("error: in/cut.png cannot be read as a picture")
    assert errors[1] == "error: 1 of 4 could not be restored, as said above; the others are done"
    out = tmp_path / "in" / "out"
    results = ["a.png", "deep/er/b.PNG", "gray.png"]
    compares = ["a.compare.png", "deep/er/b.compare.PNG", "gray.compare.png"]
    assert names(out) == sorted(results + compares)
    for name in results:
        np.testing.assert_array_equal(opened(out / name), opened(tmp_path / "in" / name))
    assert opened(out / "gray.compare.png").shape == (40, 104)


def test_finished_results_stay_unless_told(identity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, old = save(tmp_path / "a.png", 1), save(tmp_path / "out" / "a.png", 2)
    arguments = [str(source), "--checkpoint", str(identity), "--out", str(tmp_path / "out")]
    main(arguments)
    assert "1 of 1 are in" in capsys.readouterr().out
    np.testing.assert_array_equal(opened(old), noise(2))
    main([*arguments, "--overwrite"])
    np.testing.assert_array_equal(opened(old), noise(1))


def test_pictures_of_a_folder_as_frames(two_frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        save(tmp_path / "clip" / f"{number}.png", number, (70, 90))
    save(tmp_path / "clip" / "3.png", 3, (64, 90))  # another size is no neighbour
    frames = [noise(number, (70, 90)) for number in range(3)]
    arguments = [str(tmp_path / "clip"), "--checkpoint", str(two_frames), "--out"]
    restorer = load(two_frames)

    main([*arguments, str(tmp_path / "together"), "--frames"])
    assert "the last of each video stands in for its next one" in capsys.readouterr().out
    for number, expected in enumerate(restorer(frames)):
        np.testing.assert_array_equal(opened(tmp_path / "together" / f"{number}.png"), expected)

    main([*arguments, str(tmp_path / "alone")])
    assert "each picture stands in for its neighbours (--frames:" in capsys.readouterr().out
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(opened(tmp_path / "alone" / f"{number}.png"), restorer(frame))


def test_inputs_are_never_replaced(tmp_path: Path) -> None:
    source = save(tmp_path / "in" / "a.png")
    before = source.read_bytes()
    for given in (source, source.parent):
        with pytest.raises(DeblurzooError, match=r"would replace .*a\.png: choose another folder"):
            find_jobs([given], tmp_path / "in")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    with pytest.raises(DeblurzooError, match="would replace"):
        find_jobs([source], tmp_path / "link")
    assert source.read_bytes() == before


def test_two_results_of_one_name_are_refused(tmp_path: Path) -> None:
    a, b = save(tmp_path / "1" / "a.png"), save(tmp_path / "2" / "a.png")
    with pytest.raises(DeblurzooError, match=r"would both become .*a\.png: restore apart"):
        find_jobs([a, b], tmp_path / "out")


def test_videos_and_pictures_are_told_apart(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.mp4", "c.avi"):
        save(tmp_path / "in" / "x.png").rename(tmp_path / "in" / name)
    jobs = find_jobs([tmp_path / "in"], tmp_path / "out")
    assert [job.target.name for job in jobs] == ["a.jpg", "b.mp4", "c.avi.mkv"]


def test_wrong_options(identity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture, out = save(tmp_path / "a.png"), tmp_path / "out"
    (tmp_path / "empty").mkdir()
    for given, checkpoint, more, message in (
        (tmp_path / "empty", identity, [], "empty has no pictures or videos: give another folder"),
        (picture, identity, ["--memory", "much"], "much is no size of memory: give one like 2GB"),
        (picture, tmp_path / "none", [], "none does not exist"),
        (tmp_path / "nothing.png", identity, [], "1 of 1 could not be restored"),
    ):
        with pytest.raises(DeblurzooError, match=message):
            main([str(given), "--checkpoint", str(checkpoint), "--out", str(out), *more])
    assert "nothing.png does not exist: give another file" in capsys.readouterr().err
    out.write_text("a file")
    with pytest.raises(DeblurzooError, match="1 of 1 could not be restored"):
        main([str(picture), "--checkpoint", str(identity), "--out", str(out)])
    assert "a.png cannot be written" in capsys.readouterr().err
    assert out.read_text() == "a file"
