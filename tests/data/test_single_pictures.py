"""A custom data set in the layout of RealBlur: file names that differ within a pair, several image sizes, no video."""

import json
from pathlib import Path

import numpy as np
import pytest

from conftest import TINY, TINY_NETS, Run
from deblurzoo.data import ClipFiles, ClipSource, require_folder
from deblurzoo.data.checking import check
from deblurzoo.errors import DeblurzooError
from deblurzoo.media.images import read_image, write_png
from deblurzoo.media.naming import folders, image_files


class RealBlur(ClipSource):
    """Independent images, `SPLIT/SCENE/{blur/blur_N,gt/gt_N}.png`."""

    name = "realblur"
    protocol = "realblur"
    blur_folder = "blur"
    consecutive = False

    def __init__(self, root: str | None, packed: str | None = None) -> None:
        super().__init__(packed=packed)
        self.root = Path(root) if root else None

    def clip_files(self, split: str) -> list[ClipFiles]:
        layout = f"{split}/SCENE/{{blur/blur_N,gt/gt_N}}.png"
        folder = require_folder(f"{self.key}.root", self.root, split, layout)
        return [
            ClipFiles(scene.name, image_files(scene / "blur"), image_files(scene / "gt"), frame=number)
            for scene in folders(folder)
        ]


def number(path: Path) -> str:
    return path.stem.rpartition("_")[2]


CONFIG = f"_target_: {__name__}.RealBlur\nroot: null\npacked: null\n"
SIZES = {1: (48, 64), 3: (64, 48), 10: (40, 40)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two scenes per split, each with images 1, 3 and 10 of three sizes, and a config of the data set."""
    rng = np.random.default_rng(0)
    for scene in ("train/scene2", "train/scene10", "test/scene1", "test/scene7"):
        for photo, size in SIZES.items():
            for kind, name in (("blur", "blur"), ("gt", "gt")):
                image = rng.integers(0, 256, (*size, 3), np.uint8)
                write_png(tmp_path / "RealBlur" / scene / kind / f"{name}_{photo}.png", image)
    (tmp_path / "conf" / "data").mkdir(parents=True)
    (tmp_path / "conf" / "data" / "realblur.yaml").write_text(CONFIG)
    return tmp_path / "RealBlur"


def test_pairs_of_other_names_are_found_in_order(root: Path) -> None:
    samples = RealBlur(str(root)).samples("train", 1)
    assert [(s.clip, s.frame) for s in samples] == [(c, f) for c in ("scene2", "scene10") for f in ("1", "3", "10")]
    names = [(sample.blur[0].stored()[0], sample.sharp.stored()[0]) for sample in samples[:3]]
    assert names == [("blur_1.png", "gt_1.png"), ("blur_3.png", "gt_3.png"), ("blur_10.png", "gt_10.png")]
    with pytest.raises(DeblurzooError, match="images of realblur are not consecutive, but this network reads 2 frames"):
        RealBlur(str(root)).samples("train", 2)


def test_check_finds_what_is_wrong_and_nothing_else(root: Path) -> None:
    assert check(RealBlur(str(root))) == []
    scene = root / "test" / "scene7"
    (scene / "blur" / "blur_3.png").unlink()
    write_png(scene / "gt" / "other_10.png", np.zeros((40, 40, 3), np.uint8))
    assert check(RealBlur(str(root))) == [
        f"ambiguous: {scene}/gt/gt_10.png and {scene}/gt/other_10.png are both frame 10: remove one",
        f"unpaired: {scene}/gt/gt_3.png has no blurry counterpart",
    ]


def test_two_clips_of_one_name_are_refused(root: Path) -> None:
    class Twice(RealBlur):
        def clip_files(self, split: str) -> list[ClipFiles]:
            return 2 * super().clip_files(split)

    with pytest.raises(DeblurzooError, match="the test split of realblur has two clips named scene1: rename one"):
        Twice(str(root)).samples("test", 1)


def test_all_verbs_take_it(deblurzoo: Run, root: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        done = deblurzoo(*arguments, "data=realblur", "--config-dir", "conf")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "no problems" in run("data", "check", f"data.root={root}")
    assert "4 clips of realblur" in run("data", "pack", f"data.root={root}", "out=packed")
    assert "no problems" in run("data", "check", "data.packed=packed")
    run("data", "show", *TINY, "data.packed=packed", "samples=4", "out=samples.png")
    assert (tmp_path / "samples.png").is_file()
    figures = {}
    for place in (f"data.root={root}", "data.packed=packed"):
        name = place[5:9]
        run("train", *TINY, place, f"name={name}", "trainer.max_steps=1")
        run("evaluate", f"checkpoint=runs/{name}", place, "trainer=cpu", f"out={name}")
        results = json.loads((tmp_path / name / "results.json").read_text())
        assert (results["frames"], results["resolution"]) == (6, ["40x40", "48x64", "64x48"])
        figures[name] = results["restored"], results["data"]["fingerprint"]
        assert read_image(tmp_path / name / "restored" / "scene7" / "3.png").shape == (64, 48, 3)
    assert figures["root"] == figures["pack"]


def test_a_network_of_several_frames_is_refused(deblurzoo: Run, root: Path) -> None:
    arguments = ["--config-dir", "conf", "model=flow_rnn", "data=realblur", f"data.root={root}", *TINY_NETS["flow_rnn"]]
    done = deblurzoo("train", *arguments, "trainer=cpu", "logger=csv")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert (
        "realblur are not consecutive, but this network reads 2 frames: choose a network with one input frame"
        in done.stderr
    )
