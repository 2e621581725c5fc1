"""The inputs of `deblurzoo deblur`: files of a folder, neighbouring frames, formats, links."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import Run
from deblurzoo import load
from deblurzoo.commands.deblur import main
from deblurzoo.errors import DeblurzooError
from deblurzoo.restore.jobs import find_jobs
from restore.pictures import names, noise, opened, save
from verbs import refused
from videos import moving, write_video


def test_pictures_of_a_folder_as_frames(two_frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        save(tmp_path / "clip" / f"{number}.png", number, (70, 90))
    save(tmp_path / "clip" / "3.png", 3, (64, 90))  # frames of another size are not neighbours
    frames = [noise(number, (70, 90)) for number in range(3)]
    arguments = [str(tmp_path / "clip"), "--checkpoint", str(two_frames), "--out"]
    restorer = load(two_frames)

    main([*arguments, str(tmp_path / "together"), "--frames"])
    assert "the last frame of a video is also used as its own next frame" in capsys.readouterr().out
    for number, expected in enumerate(restorer(frames)):
        np.testing.assert_array_equal(opened(tmp_path / "together" / f"{number}.png"), expected)

    main([*arguments, str(tmp_path / "alone")])
    assert "each photo is also used as its own neighbours (add --frames" in capsys.readouterr().out
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(opened(tmp_path / "alone" / f"{number}.png"), restorer(frame))


def neighbours(folder: Path) -> dict[str, tuple[str | None, str | None]]:
    """Return the names of the next and the previous frame of each frame."""
    jobs = find_jobs([folder], folder / "out", frames=True)
    return {job.source.stem: tuple(path.stem if path else None for path in job.neighbours) for job in jobs}  # type: ignore[misc]


@pytest.mark.parametrize("pattern", ["{}", "frame{}", "clip7 ({}) of 12"])
def test_neighbours_are_those_of_the_numbers_in_names(pattern: str, tmp_path: Path) -> None:
    names = [pattern.format(number) for number in range(1, 13)]
    for name in names:
        (tmp_path / f"{name}.png").touch()
    assert list(neighbours(tmp_path).items()) == [
        (name, (following, previous))
        for name, following, previous in zip(names, [*names[1:], None], [None, *names], strict=False)
    ]


def test_no_neighbours_across_a_gap_which_is_told_once(
    two_frames: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2, 3, 6):
        save(tmp_path / "clip" / f"{number:04}.png", number, (70, 90))
    save(tmp_path / "clip" / "other" / "0007.png", 7, (70, 90))  # in another folder
    assert neighbours(tmp_path / "clip") == {
        "0001": ("0002", None),
        "0002": ("0003", "0001"),
        "0003": (None, "0002"),
        "0006": (None, None),
        "0007": (None, None),
    }
    main([str(tmp_path / "clip"), "--checkpoint", str(two_frames), "--out", str(tmp_path / "out"), "--frames"])
    printed = capsys.readouterr().out
    assert printed.count(f"{tmp_path}/clip lacks frames 0004 to 0005: no neighbours are used across a gap") == 1
    assert printed.count("lacks") == 1
    alone = load(two_frames)(noise(3, (70, 90)))
    np.testing.assert_array_equal(opened(tmp_path / "out" / "0003.png"), alone)


def test_what_systems_leave_beside_pictures_is_not_restored(tmp_path: Path) -> None:
    junk = ("._1.png", "~$1.png", "Thumbs.db", "__MACOSX/1.png", "@eaDir/1.png/SYNOPHOTO.jpg", ".AppleDouble/1.mp4")
    for name in (*junk, "1.PNG", "in/10.Jpg", "in/9.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    jobs = find_jobs([tmp_path], tmp_path / "out")
    assert [str(job.source.relative_to(tmp_path)) for job in jobs] == ["1.PNG", "in/9.jpg", "in/10.Jpg"]


def test_two_files_of_one_frame_are_ambiguous(tmp_path: Path) -> None:
    for name in ("1.png", "2.png", "2.jpg"):
        (tmp_path / name).touch()
    with pytest.raises(DeblurzooError, match=r"2\.jpg and .*2\.png are both frame 2: remove one"):
        find_jobs([tmp_path], tmp_path / "out", frames=True)
    assert len(find_jobs([tmp_path], tmp_path / "out")) == 3


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
    with pytest.raises(DeblurzooError, match=r"would both be saved as .*a\.png: use two --out folders"):
        find_jobs([a, b], tmp_path / "out")


def test_the_content_of_a_file_decides_what_it_is(deblurzoo: Run, identity: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name in (
        "photo.jfif",
        "photo.jpe",
        "photo",
        "photo.mp4",
        "photo.dib",
        "a.avif",
        "a.gif",
        "a.jp2",
        "a.ppm",
        "a.tga",
    ):
        format_of = {"jp2": "JPEG2000", "dib": "BMP", "avif": "AVIF", "gif": "GIF", "ppm": "PPM", "tga": "TGA"}
        save(folder / "x.png", 1).rename(folder / name)
        Image.fromarray(noise(1)).save(folder / name, format_of.get(name.partition(".")[2], "JPEG"))
    write_video(folder / "film.avi", moving(3)).rename(folder / "film.jpg")
    (folder / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (folder / "a.dng").write_bytes(b"II*\0\x10\0\0\0CR\2\0")
    (folder / "notes.txt").write_text("nothing to restore")
    own = {"photo.jfif": "JPEG", "photo.jpe": "JPEG", "photo": "JPEG", "photo.mp4": "JPEG", "photo.dib": "BMP"}
    as_png = {f"a.{suffix}.png": "PNG" for suffix in ("avif", "gif", "jp2", "ppm", "tga")}

    done = deblurzoo("deblur", "in", "--checkpoint", identity, "--out", "out")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "in: files that are neither photos nor videos are skipped: notes.txt\n" in done.stdout
    assert "error: in/a.heic is a HEIC photo, which is not supported: convert it to PNG\n" in done.stderr
    assert "error: in/a.dng is a raw photo of a camera, which is not supported: convert it to PNG\n" in done.stderr
    assert "error: 2 of 13 files could not be restored" in done.stderr
    assert names(tmp_path / "out") == sorted([*own, *as_png, "film.jpg.mkv"])
    for name, kind in (own | as_png).items():
        with Image.open(tmp_path / "out" / name) as result, Image.open(folder / name.removesuffix(".png")) as source:
            assert result.format == kind and result.size == source.size

    named = [f"in/{name}" for name in ("notes.txt", "a.heic", "photo", "film.jpg", "a.ppm")]
    done = deblurzoo("deblur", *named, "--checkpoint", identity, "--out", "named")
    assert "error: in/notes.txt is a text file, neither a photo nor a video: omit it\n" in done.stderr
    assert "error: 2 of 5 files could not be restored" in done.stderr
    assert names(tmp_path / "named") == ["a.ppm.png", "film.jpg.mkv", "photo"]


def test_what_cannot_be_opened_is_named_and_the_others_are_restored(
    deblurzoo: Run, identity: Path, obeying: None, tmp_path: Path
) -> None:
    for name in ("a.png", "closed.png", "closed/b.png", "listed/c.png", "z.png"):
        save(tmp_path / "in" / name, 1)
    (tmp_path / "in" / "gone.png").symlink_to("nothing.png")
    (tmp_path / "in" / "self.png").symlink_to("self.png")
    (tmp_path / "in" / "closed.png").chmod(0)
    (tmp_path / "in" / "closed").chmod(0)
    (tmp_path / "in" / "listed").chmod(0o400)
    save(tmp_path / "shut" / "d.png").parent.chmod(0)
    inputs = ["shut", "in", "shut/d.png", f"{300 * 'x'}.png", "none.png"]
    done = deblurzoo("deblur", *inputs, "--checkpoint", identity, "--out", "out")
    errors = sorted(done.stderr.splitlines())
    denied = "cannot be used (Permission denied): change its permissions"
    for path in ("in/closed.png", "in/closed", "in/listed/c.png", "shut", "shut/d.png"):
        assert any(line.startswith(f"error: {path} {denied}") for line in errors), (path, errors)
    assert any(line.startswith(f"error: {300 * 'x'}.png cannot be used (File name too long)") for line in errors)
    assert sum("does not exist" in line for line in errors) == 3  # in/gone.png, in/self.png, none.png
    assert (
        len(errors) == 10
        and errors[0] == "error: 9 of 11 files could not be restored, see above; all other files are restored"
    )
    refused(done)
    assert names(tmp_path / "out") == ["a.png", "z.png"]
    for folder in ("in/closed", "in/listed", "shut"):
        (tmp_path / folder).chmod(0o700)


def test_linked_folders_are_followed_and_loops_end(identity: Path, tmp_path: Path) -> None:
    save(tmp_path / "elsewhere" / "1.png")
    save(tmp_path / "in" / "real" / "2.png")
    for link, target in (
        ("in/linked", "elsewhere"),
        ("in/real/up", "in"),
        ("elsewhere/back", "in"),
        ("in/0", "in/real"),
    ):
        (tmp_path / link).symlink_to(tmp_path / target)
    found = [str(job.source.relative_to(tmp_path / "in")) for job in find_jobs([tmp_path / "in"], tmp_path / "out")]
    assert found == ["0/2.png", "linked/1.png", "real/2.png"]
