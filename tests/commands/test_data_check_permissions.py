"""`deblurzoo data check` of files without permission, and of links that lead nowhere."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import SHORT, Run
from deblurzoo.data import Toy
from deblurzoo.data.checking import check
from verbs import refused


@pytest.fixture
def shut(obeying: None) -> Iterator[Callable[..., None]]:
    """Return a function that removes permissions of paths until the end of the test."""
    closed: list[Path] = []

    def remove(*paths: Path, mode: int = 0) -> None:
        for path in paths:
            path.chmod(mode)
            closed.append(path)

    yield remove
    for path in reversed(closed):
        path.chmod(0o700)


DENIED = "cannot be used (Permission denied): change its permissions"


def test_clips_and_images_without_permission_are_named_and_all_others_are_checked(
    deblurzoo: Run, copy: Path, shut: Callable[..., None]
) -> None:
    a, b, c = copy / "train/TOY_train_000", copy / "train/TOY_train_001", copy / "test/TOY_test_000"
    for number in (2, 3):
        shutil.copytree(a, copy / f"train/TOY_train_00{number}")
    only_listed = copy / "train/TOY_train_003/sharp"
    (b / "blur/000001.png").write_bytes(b"corrupt")
    shut(a / "sharp", copy / "train/TOY_train_002", c / "blur/000002.png")
    shut(only_listed, mode=0o400)
    done = deblurzoo("data", "check", "data=toy", f"data.root={copy}")
    refused(done, f"unreadable: {b / 'blur/000001.png'} cannot be read (not an image")
    denied = [
        a / "sharp",
        *(copy / f"train/TOY_train_002/{kind}" for kind in ("blur", "sharp")),
        *(only_listed / f"00000{number}.png" for number in (1, 2, 3)),
        c / "blur/000002.png",
    ]
    for path in denied:
        assert f"unreadable: {path} {DENIED}" in done.stderr, done.stderr
    assert f"{len(denied) + 1} problems in toy" in done.stderr


def test_a_split_without_permission_is_named_and_the_other_is_checked(
    deblurzoo: Run, copy: Path, shut: Callable[..., None]
) -> None:
    shutil.rmtree(copy / "test/TOY_test_000/sharp")
    shut(copy / "train")
    done = deblurzoo("data", "check", "data=gopro", f"data.root={copy}")
    refused(done, f"unreadable: {copy / 'train'} {DENIED}", "TOY_test_000/blur/000001.png has no sharp counterpart")
    assert "train clip" not in done.stderr and "train split" not in done.stderr
    refused(deblurzoo("train", *SHORT, f"data.root={copy}"), f"error: {copy / 'train'} {DENIED}")


def test_photos_and_packs_without_permission_are_named(
    deblurzoo: Run, copy: Path, photos: Path, shut: Callable[..., None]
) -> None:
    toy = ["data=toy", f"data.root={copy}", "data.packed=pack"]
    assert deblurzoo("data", "pack", *toy[:2], "out=pack").returncode == 0
    shut(photos, copy / "train/TOY_train_000/sharp")
    shut(copy / "train/TOY_train_001/sharp", mode=0o400)
    done = deblurzoo("data", "check", *toy, "data@against=photos", f"against.root={photos}")
    refused(
        done,
        f"stale: clip TOY_train_000 can no longer be paired: {copy}/train/TOY_train_000/sharp {DENIED}",
        f"stale: clip TOY_train_001 cannot be compared: {copy}/train/TOY_train_001/sharp/000001.png {DENIED}",
        f"unreadable: {photos} {DENIED}",
        "3 problems in toy and photos",
    )


def test_koehlers_files_without_permission_are_named(
    deblurzoo: Run, toy: Path, tmp_path: Path, shut: Callable[..., None]
) -> None:
    image = toy / "test/TOY_test_000/sharp/000001.png"
    for name in ("a/Blurry1_1.png", "a/GroundTruth1_1_1.png", "b/Blurry1_2.png"):
        (tmp_path / "kohler" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, tmp_path / "kohler" / name)
    shut(tmp_path / "kohler/b", tmp_path / "kohler/a/Blurry1_1.png")
    check = ["data", "check", "data=kohler", "data.root=kohler"]
    done = deblurzoo(*check)
    refused(done, f"unreadable: kohler/b {DENIED}", f"unreadable: kohler/a/Blurry1_1.png {DENIED}", "missing: ")
    shut(tmp_path / "kohler")
    refused(deblurzoo(*check), f"unreadable: kohler {DENIED}", "1 problem in kohler")


def test_links_that_lead_nowhere_are_named(copy: Path) -> None:
    clip = copy / "train/TOY_train_000"
    for kind in ("blur", "sharp"):
        (clip / kind / "000003.png").unlink()
        (clip / kind / "000003.png").symlink_to("000003.png")
    problems = check(Toy(str(copy), "blur"))
    assert [problem.partition(" cannot be read")[0] for problem in problems] == [
        f"unreadable: {clip}/{kind}/000003.png" for kind in ("blur", "sharp")
    ]


BSD = "BSD_1ms8ms"
TEST_CLIP = f"{BSD}/test/001/Blur/RGB {BSD}/test/001/Sharp/RGB"


@pytest.mark.parametrize(
    ("data", "closed", "others"),
    [
        ("bsd_1ms8ms", f"{BSD}/train/000/Blur/RGB", f"{BSD}/train/000/Sharp/RGB {TEST_CLIP}"),
        ("bsd_1ms8ms", f"{BSD}/train", TEST_CLIP),
        ("hide", "test/test-close-ups", "GT train test/test-long-shot"),
        ("reds", "train/train_sharp/000", "train/train_blur/000 val/val_sharp/000 val/val_blur/000"),
    ],
)
def test_folders_without_permission_are_named_in_every_layout(
    data: str, closed: str, others: str, deblurzoo: Run, toy: Path, tmp_path: Path, shut: Callable[..., None]
) -> None:
    image = toy / "test/TOY_test_000/sharp/000001.png"
    for folder in (closed, *others.split()):
        (tmp_path / "root" / folder).mkdir(parents=True)
        shutil.copy(image, tmp_path / "root" / folder / "1.png")
    shut(tmp_path / "root" / closed)
    done = deblurzoo("data", "check", f"data={data}", "data.root=root")
    refused(done, f"unreadable: root/{closed} {DENIED}", "has 1 pairs instead of the official")
    assert f"root/{closed}/1.png" not in done.stderr and "counterpart" not in done.stderr
