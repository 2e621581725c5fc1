"""Gain by blur size: ranges, intervals, and the tables of `compare --by-blur`."""

import csv
import json
import math
from pathlib import Path

import pytest

from conftest import Run
from deblurzoo.errors import DeblurzooError
from deblurzoo.reports.blur_sizes import gain_by_blur
from deblurzoo.reports.results import Facts, Measured, Results, Tiles, read

CONFIG = {"data": {}, "trainer": {"precision": "32-true"}, "switch": None, "rounding": "nearest"}
FACTS = {
    "name": "net",
    "network": {"class": "SRN", "arguments": {}, "parameters": 1},
    "checkpoint": {"file": "run/checkpoints/step_00000005.ckpt", "step": 5, "sha256": "0"},
    **dict.fromkeys(("dataset", "protocol"), "toy"),
    **{"split": "test", "blur_folder": "blur", "rounding": "uint8, nearest", "deblurzoo": "0.2", "config": CONFIG},
}


def image(clip: str, lengths: list[float], blurry: list[float], restored: list[float]) -> Measured:
    tiles = Tiles(length=lengths, blurry=blurry, restored=restored)
    size = {"height": 64, "width": 64 * len(lengths)}
    return Measured(clip=clip, frame="1", ms=1.0, restored={"psnr": 30.0}, blurry={"psnr": 30.0}, tiles=tiles, **size)


def results(images: list[Measured], protocol: str = "toy") -> Results:
    return Results.of(Facts.model_validate({**FACTS, "protocol": protocol}), images)


def test_gains_are_of_the_summed_errors_of_a_range() -> None:
    first = image("a", [2.0, 2.9, 3.0], [40, 60, 10], [20, 30, 20])
    low, middle, above, high = gain_by_blur(results([first, image("b", [100, 0, 2.5], [8, 5, 100], [4, 0, 50])]))
    assert [gain.limits for gain in (low, middle, above, high)] == ["0 to 1", "2 to 3", "3 to 4", "48+"]
    assert (middle.tiles, middle.clips, middle.length) == (3, 2, pytest.approx(7.4 / 3))
    assert middle.gain == pytest.approx(10 * math.log10(2)) == pytest.approx(high.gain)
    assert above.gain == pytest.approx(10 * math.log10(0.5))
    assert low.gain == pytest.approx(100 - 10 * math.log10(255**2 / 5)), "a perfect restoration counts 100 dB"
    assert all(gain.interval is None for gain in (low, middle, above, high)), "there are only two clips"


def test_intervals_are_those_of_students_t_if_all_clips_weigh_the_same() -> None:
    gains = [1.0, 1.1, 0.8, 1.3]
    clips = [image(name, [5.0], [100.0], [100 * 10 ** (-gain / 10)]) for name, gain in zip("abcd", gains, strict=True)]
    (found,) = gain_by_blur(results(clips))
    deviation = 0.2081666  # of the four gains
    assert found.margin == pytest.approx(3.182446 * deviation / 2, rel=0.02)
    assert found.interval == (pytest.approx(found.gain - found.margin), pytest.approx(found.gain + found.margin))


def test_exposures_of_a_photo_are_not_independent() -> None:
    clips = [image(f"photo_{photo}_{number}", [5.0], [9.0], [5.0 + photo]) for photo in (1, 2) for number in (1, 2, 3)]
    assert [gain.clips for gain in gain_by_blur(results(clips, "photos"))] == [2]
    assert [gain.clips for gain in gain_by_blur(results(clips, "toy"))] == [6]


def test_tiles_are_one_text_and_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    file.write_bytes(results([image("a", [2.0, 1 / 3], [40.0, 60.0], [20.0, 0.0])]).as_json(indent=1))
    content = json.loads(file.read_text())
    assert content["images"][0]["tiles"] == {"length": "2 0.3333", "blurry": "40 60", "restored": "20 0"}
    tiles = read(file).images[0].tiles
    assert tiles and tiles.length == [2.0, 0.3333]
    for wrong in ("2", "2 x", "2 nan", "2 -1", "2 1e99", "2 3 4", ["2", "3"], None):
        content["images"][0]["tiles"]["length"] = wrong
        file.write_text(json.dumps(content))
        with pytest.raises(DeblurzooError, match=r"images\.0.*run `deblurzoo evaluate` again"):
            read(file)
    del content["images"][0]["tiles"]
    file.write_text(json.dumps(content))
    assert gain_by_blur(read(file)) == []


def test_compare_by_blur(deblurzoo: Run, tmp_path: Path) -> None:
    clips = [image(name, [5.0, 20.0], [100.0, 200.0], [50.0 + ord(name) % 3, 190.0]) for name in "abc"]
    for name, images in {"new": clips, "old": [one.model_copy(update={"tiles": None}) for one in clips]}.items():
        (tmp_path / name).mkdir()
        measured = results(images).model_copy(update={"name": name})
        (tmp_path / name / "results.json").write_bytes(measured.as_json(indent=1))
    done = deblurzoo("compare", "new", "old", "--by-blur", "--csv", "table.csv", "--markdown", "table.md")
    assert done.returncode == 0, done.stderr
    assert "without blur lengths: old; `deblurzoo evaluate` measures them" in done.stdout
    rows = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert [(row["name"], row["blur_from"], row["blur_to"], row["clips"]) for row in rows] == [
        ("new", "4", "6", "3"),
        ("new", "16", "24", "3"),
    ]
    gain, low, high = (float(rows[0][key]) for key in ("gain_db", "gain_low_db", "gain_high_db"))
    assert low < gain < high and gain == pytest.approx(10 * math.log10(300 / 153))
    line = f"| new | 4 to 6 | 3 | 3 | {gain:+.2f} | {low:+.2f} to {high:+.2f} |"
    assert line in (tmp_path / "table.md").read_text()
    assert f"{gain:+.2f}" in done.stdout and "blurry input" not in done.stdout
