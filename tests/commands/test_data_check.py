"""`deblurzoo data check`: damage, gaps, official counts, equal images and scenes in both splits."""

import shutil
from pathlib import Path
from subprocess import CompletedProcess

import cv2
import numpy as np
import pytest

from conftest import Run, write_kohler
from deblurzoo.data import Folder, Toy
from deblurzoo.data.checking import check
from deblurzoo.media.images import write_png
from verbs import refused


def test_whole_data_set_has_no_problems(toy: Path) -> None:
    assert check(Toy(str(toy), "blur")) == []


def test_every_kind_of_damage_is_named(copy: Path) -> None:
    a, b = copy / "train" / "TOY_train_000", copy / "train" / "TOY_train_001"
    (a / "blur" / "000002.png").write_bytes((a / "blur" / "000002.png").read_bytes()[:500])
    (a / "sharp" / "000003.png").unlink()
    for kind in ("blur", "sharp"):
        (b / kind / "000002.png").unlink()
    cv2.imwrite(str(b / "sharp" / "000001.png"), np.zeros((40, 64, 3), np.uint8))
    shutil.rmtree(copy / "test" / "TOY_test_000")
    problems = "\n".join(check(Toy(str(copy), "blur")))
    assert f"unreadable: {a / 'blur' / '000002.png'}" in problems
    assert f"unpaired: {a / 'blur' / '000003.png'} has no sharp counterpart" in problems
    assert f"missing: {b / 'blur'}: frame 000002" in problems
    assert f"size: {b / 'sharp' / '000001.png'} is 64x40, but most images of the clip are 64x48" in problems
    assert "empty: the test split" in problems
    assert len(problems.splitlines()) == 5


@pytest.mark.parametrize("name", ["2", "2.odd", "2.jfif", "2.heic", "2.gif"])
@pytest.mark.parametrize("data", [b"", bytes(range(200)), b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"])
def test_unreadable_images_without_a_usual_suffix_are_not_missing(tmp_path: Path, name: str, data: bytes) -> None:
    for kind in ("blur", "sharp"):
        for number in range(1, 4):
            write_png(tmp_path / kind / f"{number}.png", np.full((8, 8, 3), 40 * number + len(kind), np.uint8))
        (tmp_path / kind / f"2.{kind}.txt").write_text("notes")
        (tmp_path / kind / "4.txt").write_text("notes")
    (tmp_path / "sharp" / "2.png").unlink()
    (tmp_path / "sharp" / name).write_bytes(data)
    nothing = {"blur": None, "sharp": None}
    source = Folder({kind: str(tmp_path / kind) for kind in ("blur", "sharp")}, nothing)
    (problem,) = check(source)
    assert problem.startswith(f"unreadable: {tmp_path / 'sharp' / name} cannot be read (")
    (tmp_path / "sharp" / name).write_text("notes")
    if name == "2":  # a text has no suffix either
        assert check(source) == [f"unpaired: {tmp_path / 'blur' / '2.png'} has no sharp counterpart"]


def test_clips_without_images_are_a_problem(copy: Path) -> None:
    for place in ("train/bare", "test/half/blur"):
        (copy / place).mkdir(parents=True)
    assert check(Toy(str(copy), "blur")) == [
        "empty: clip bare has no images: add them, or remove its folder",
        "empty: clip half has no images: add them, or remove its folder",
    ]


def test_names_of_clips_are_not_markup(deblurzoo: Run, copy: Path) -> None:
    for split, name in (("train", "[x]"), ("test", ":smile:[b]")):
        min((copy / split).iterdir()).rename(copy / split / name)
    done = deblurzoo("data", "check", "data=toy", f"data.root={copy}")
    assert done.returncode == 0, done.stderr
    assert "│ train │ [x] " in done.stdout and "│ test  │ :smile:[b] " in done.stdout


def test_official_counts_are_compared(deblurzoo: Run, copy: Path) -> None:
    clip = copy / "train" / "TOY_train_000"
    clip.rename(clip.with_name("GOPR0372_07_00"))
    done = deblurzoo("data", "check", "data=gopro", f"data.root={copy}")
    assert done.returncode == 1
    assert "count: GOPR0372_07_00 has 3 pairs instead of the official 100" in done.stderr
    assert "missing: test clip GOPR0862_11_00 (77 pairs)" in done.stderr
    assert "unexpected: TOY_train_001 is not an official train clip of gopro" in done.stderr
    assert "Traceback" not in done.stderr


def test_command_succeeds_on_a_whole_data_set(deblurzoo: Run, toy: Path) -> None:
    done = deblurzoo("data", "check", "data=toy", f"data.root={toy}")
    assert done.returncode == 0, done.stderr
    assert "no problems" in done.stdout


def folder(root: Path, *names: str, **settings: bool) -> Folder:
    """Return a data set of pairs with these names, of one size except names that contain `large`."""
    for kind in ("blur", "sharp"):
        for name in names:
            level = 40 if kind == "sharp" else 0
            write_png(root / kind / name, np.full((16 if "large" in name else 8, 8, 3), level, np.uint8))
    test = {kind: str(root / kind) for kind in ("blur", "sharp")}
    return Folder({"blur": None, "sharp": None}, test, **settings)


def test_gaps_are_ranges_and_few_lines_a_clip(tmp_path: Path) -> None:
    blur = tmp_path / "a" / "blur"
    assert check(folder(tmp_path / "a", "0017.png", "2041.png", "9120.png")) == [
        f"missing: {blur}: frames 0018 to 2040",
        f"missing: {blur}: frames 2042 to 9119",
    ]
    doubling = [f"frame{2**number}.png" for number in range(12)]
    problems = check(folder(tmp_path / "b", *doubling))
    assert len(problems) == 4 and problems[0] == f"missing: {tmp_path / 'b' / 'blur'}: frame frame3"
    assert problems[-1] == f"missing: {tmp_path / 'b' / 'blur'}: 7 more gaps, the last before frame frame2048"


@pytest.mark.parametrize(
    "names",
    [
        [f"{number}" for number in range(1, 13)],
        [f"frame{number}" for number in range(8, 13)],
        [f"{1403636579763555584 + 50_000_000 * number}" for number in range(5)],
        ["0010", "0020", "0030"],
    ],
)
def test_whole_clips_of_any_numbering_have_no_problems(names: list[str], tmp_path: Path) -> None:
    assert check(folder(tmp_path, *(f"{name}.png" for name in names))) == []


def test_ambiguous_files_are_named(tmp_path: Path) -> None:
    source = folder(tmp_path, "1.png", "2.png", "3.png")
    write_png(tmp_path / "blur" / "2.PNG", np.zeros((8, 8, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "sharp" / "3.jpg"), np.zeros((8, 8, 3), np.uint8))
    assert check(source) == [
        f"ambiguous: {tmp_path}/blur/2.PNG and {tmp_path}/blur/2.png are both frame 2: remove one",
        f"ambiguous: {tmp_path}/sharp/3.jpg and {tmp_path}/sharp/3.png are both frame 3: remove one",
    ]


def test_what_systems_leave_beside_pictures_is_no_problem(tmp_path: Path) -> None:
    source = folder(tmp_path, "1.png", "2.png")
    for name in ("._1.png", "~$2.png", "Thumbs.db", "@eaDir/1.png", "__MACOSX/._2.png"):
        (tmp_path / "blur" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "blur" / name).write_bytes(b"no picture")
    assert check(source) == []


def test_only_frames_of_a_clip_must_be_consecutive_and_of_one_size(tmp_path: Path) -> None:
    names = ("1.png", "2.png", "9_large.png")
    assert check(folder(tmp_path, *names, consecutive=False)) == []
    assert check(folder(tmp_path, *names)) == [
        f"size: {tmp_path}/{kind}/9_large.png is 8x16, but most images of the clip are 8x8"
        for kind in ("blur", "sharp")
    ]
    write_png(tmp_path / "sharp" / "1.png", np.zeros((9, 8, 3), np.uint8))
    assert check(folder(tmp_path, consecutive=False)) == [
        f"size: {tmp_path}/sharp/1.png is 8x9, but its counterpart {tmp_path}/blur/1.png is 8x8"
    ]


def equal_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("identical: ")]


def checked(deblurzoo: Run, toy: Path, packed: bool) -> "CompletedProcess[str]":
    """Check a toy data set or, if `packed`, a new pack of it."""
    data = ["data=toy", f"data.root={toy}"]
    if packed:
        assert deblurzoo("data", "pack", *data, "out=pack").returncode == 0
        data.append("data.packed=pack")
    return deblurzoo("data", "check", *data)


@pytest.mark.parametrize("packed", [False, True])
def test_pairs_with_nothing_to_restore_are_named_and_no_problem(packed: bool, deblurzoo: Run, copy: Path) -> None:
    for clip, frame in (("train/TOY_train_001", "000002"), ("test/TOY_test_000", "000003")):
        shutil.copy(copy / clip / "sharp" / f"{frame}.png", copy / clip / "blur" / f"{frame}.png")
    done = checked(deblurzoo, copy, packed)
    assert done.returncode == 0 and "no problems" in done.stdout, done.stderr
    assert equal_lines(done.stdout) == [
        "identical: TOY_train_001/000002: the blurry and the sharp image are identical",
        "identical: TOY_test_000/000003: the blurry and the sharp image are identical",
    ]


def test_equal_pixels_in_files_of_two_formats_are_few_lines_a_clip(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = folder(tmp_path, *(f"{number}.png" for number in range(9)))
    for number in range(6):
        (tmp_path / "blur" / f"{number}.png").unlink()
        cv2.imwrite(str(tmp_path / "blur" / f"{number}.bmp"), np.full((8, 8, 3), 40, np.uint8))
    assert check(source) == []
    name = tmp_path.name
    assert equal_lines(capsys.readouterr().out) == [
        *(f"identical: {name}/{number}: the blurry and the sharp image are identical" for number in range(3)),
        f"identical: {name}: 3 more pairs of identical images",
    ]


def test_a_split_in_which_all_pairs_are_equal_is_a_problem(toy: Path, deblurzoo: Run) -> None:
    sharp = next((toy / "test").iterdir()) / "sharp"
    done = deblurzoo("data", "check", "data=folder", f"data.test.blur={sharp}", f"data.test.sharp={sharp}")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "identical: the blurry and the sharp image are identical in all pairs of the test split" in done.stderr


def same_scenes(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("same scene: ")]


def again(source: Path, target: Path, side: int) -> None:
    """Write the images of a clip a second time: blurred, reduced to 3/4 of the size, as JPEG."""
    for kind in ("blur", "sharp"):
        (target / kind).mkdir(parents=True)
        for path in sorted((source / kind).iterdir()):
            image = cv2.blur(cv2.imread(str(path)), (side, 1))
            small = cv2.resize(image, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(target / kind / f"again_{path.stem}.jpg"), small, [cv2.IMWRITE_JPEG_QUALITY, 60])


@pytest.mark.parametrize("packed", [False, True])
def test_a_scene_in_both_splits_is_named_although_its_images_were_changed(
    packed: bool, deblurzoo: Run, copy: Path
) -> None:
    again(copy / "train" / "TOY_train_001", copy / "test" / "MINE", side=5)
    done = checked(deblurzoo, copy, packed)
    assert done.returncode == 0 and "no problems" in done.stdout, done.stderr
    lines = same_scenes(done.stdout)
    assert len(lines) == 3, lines
    for number, line in enumerate(lines, start=1):
        assert line.startswith("same scene: toy train/TOY_train_001/00000"), line
        assert line.endswith(f" and toy test/MINE/again_00000{number}"), line


def test_all_images_that_are_not_consecutive_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = {}
    for split, numbers in (("train", range(7)), ("test", range(1, 9))):
        for kind in ("blur", "sharp"):
            for number in numbers:
                write_png(tmp_path / split / kind / f"{number}.png", noise(number))
        pairs[split] = {kind: str(tmp_path / split / kind) for kind in ("blur", "sharp")}
    check(Folder(**pairs, consecutive=False))
    assert same_scenes(capsys.readouterr().out) == [
        f"same scene: folder train/train/{number} and folder test/test/{number}" for number in range(1, 7)
    ]


def test_two_data_sets_are_compared_by_scene(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    again(toy / "train" / "TOY_train_000", tmp_path / "mine", side=3)
    folders = [f"against.test.{kind}=mine/{kind}" for kind in ("blur", "sharp")]
    arguments = ["data", "check", "data=toy", f"data.root={toy}", "data@against=folder"]
    done = deblurzoo(*arguments, *folders)
    assert done.returncode == 0, done.stderr
    assert "folder: blur/ and sharp frames" in done.stdout
    assert [line.partition(" and ")[2] for line in same_scenes(done.stdout)] == [
        f"folder test/mine/again_00000{number}" for number in (1, 2, 3)
    ]
    refused(deblurzoo(*arguments, "against.test.blur=mine/blur"), "against.test.sharp is not set")
    mix = ["data@against=mix", "against.weights={folder: 1}", "against.folder.test.blur=mine/blur"]
    refused(deblurzoo(*arguments[:-1], *mix), "against.folder.test.sharp is not set")
    (tmp_path / "mine/blur/again_000001.jpg").unlink()
    done = deblurzoo(*arguments, *folders)
    assert done.returncode == 1 and "1 problem in toy and folder, listed above" in done.stderr


def test_a_mixture_is_compared_with_its_test_images(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    again(toy / "train" / "TOY_train_000", tmp_path / "mine", side=3)
    folders = [f"data.folder.test.{kind}=mine/{kind}" for kind in ("blur", "sharp")]
    data = ["data=mix", "data.weights={toy: 1}", f"data.toy.root={toy}", "data.test=folder", *folders]
    done = deblurzoo("data", "check", *data)
    assert done.returncode == 0, done.stderr
    lines = same_scenes(done.stdout)
    assert len(lines) == 3
    assert all(" folder test/mine/" in line for line in lines)


def test_koehlers_scenes_are_compared(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    write_kohler(tmp_path / "kohler", 48, 64)
    arguments = ["data", "check", "data=toy", f"data.root={toy}", "data@against=kohler", "against.root=kohler"]
    done = deblurzoo(*arguments, "against.verify=false")
    assert "missing: blurry image or ground truth of pair 1_1" in done.stderr and not same_scenes(done.stdout)
    for path in (tmp_path / "kohler").glob("*.zip"):
        path.unlink()
    scene = cv2.imread(str(toy / "train/TOY_train_000/sharp/000001.png"))
    for name in ("Blurry2_3", "GroundTruth2_3_1"):
        cv2.imwrite(str(tmp_path / f"kohler/{name}.png"), scene)
    done = deblurzoo(*arguments)
    (line,) = same_scenes(done.stdout)
    assert line.endswith(" and kohler test/Image2/Blurry2_3")


def noise(seed: int) -> np.ndarray:
    return cv2.resize(np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8), (160, 120))


def test_a_few_frames_of_a_scene_are_named_and_uniform_frames_are_no_scene(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split, first in (("train", 0), ("test", 3)):
        for kind in ("blur", "sharp"):
            for number in range(first, first + 9):
                write_png(tmp_path / split / "A" / kind / f"{number}.png", noise(number))
            for number, level in ((20, 0), (21, 255)):
                flat = np.full((120, 160, 3), level, np.uint8)
                write_png(tmp_path / split / "A" / kind / f"{number}.png", flat)
    check(Toy(str(tmp_path), "blur"))
    assert same_scenes(capsys.readouterr().out) == [
        *(f"same scene: toy train/A/{number} and toy test/A/{number}" for number in (3, 4, 5)),
        "same scene: toy train/A and toy test/A: 3 more test frames",
    ]
