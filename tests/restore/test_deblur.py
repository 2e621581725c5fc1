"""`deblurzoo deblur` from the user's point of view."""

import struct
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from conftest import Run
from deblurzoo import load
from deblurzoo.commands.deblur import main
from deblurzoo.errors import DeblurzooError
from deblurzoo.media.exif import Entry, Exif
from deblurzoo.restore.inputs import RECORD
from deblurzoo.restore.jobs import find_jobs
from verbs import refused
from videos import moving, write_video


def noise(seed: int = 0, size: tuple[int, int] = (40, 52)) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def save(path: Path, seed: int = 0, size: tuple[int, int] = (40, 52)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(seed, size)).save(path)
    return path


def opened(path: Path) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(path))


def names(folder: Path) -> list[str]:
    """Return the results in a folder, without the record of their inputs."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name != RECORD)


def test_a_folder_with_a_bad_file_goes_on_and_says_so(deblurzoo: Run, identity: Path, tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", 1)
    save(tmp_path / "in" / "deep" / "er" / "b.PNG", 2)
    Image.fromarray(noise()[..., 0]).save(tmp_path / "in" / "gray.png")
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    cut = save(tmp_path / "in" / "cut.png")
    cut.write_bytes(cut.read_bytes()[:3000])
    arguments = ["deblur", "in", "--checkpoint", identity, "--out", "in/out"]
    done = deblurzoo(*arguments, "--compare")
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    errors = done.stderr.splitlines()
    assert len(errors) == 2 and errors[0].startswith("error: in/cut.png cannot be read as an image")
    assert errors[1] == "error: 1 of 4 files could not be restored, see above; all others are restored"
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
    assert "1 of 1 files skipped: results exist in" in capsys.readouterr().out
    np.testing.assert_array_equal(opened(old), noise(2))
    main([*arguments, "--overwrite"])
    np.testing.assert_array_equal(opened(old), noise(1))


def test_a_folder_of_the_name_of_a_result_is_not_a_result(deblurzoo: Run, identity: Path, tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", 1)
    save(tmp_path / "in" / "b.png", 2)
    (tmp_path / "out" / "a.png").mkdir(parents=True)
    done = deblurzoo("deblur", "in", "--checkpoint", identity, "--out", "out")
    refused(done, "error: out/a.png is a folder: choose another file", "1 of 2 files could not be restored")
    assert (tmp_path / "out" / "b.png").is_file()


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


def test_a_comparison_that_its_format_cannot_hold_is_named(deblurzoo: Run, identity: Path, tmp_path: Path) -> None:
    wide = {"a.jpg": 33_000, "b.webp": 8_200, "c.png": 33_000}
    for name, width in wide.items():
        save(tmp_path / "in" / name, 1, (8, width))
    done = deblurzoo("deblur", "in", "--checkpoint", identity, "--out", "out", "--compare")
    assert done.returncode == 0, done.stderr
    assert names(tmp_path / "out") == ["a.jpg", "b.webp", "c.compare.png", "c.png"]
    assert "a.compare.jpg cannot be written: 66000x8 pixels exceed the limits of JPEG" in done.stdout
    assert "b.compare.webp cannot be written: 16400x8 pixels exceed the limits of WEBP" in done.stdout
    assert "disk" not in done.stdout + done.stderr


def test_a_finished_photo_without_comparison_is_named(deblurzoo: Run, identity: Path, tmp_path: Path) -> None:
    save(tmp_path / "a.png", 1)
    command = ("deblur", "a.png", "--checkpoint", identity, "--out", "out")
    assert deblurzoo(*command).returncode == 0
    assert "1 of them have no comparison: --overwrite restores" in deblurzoo(*command, "--compare").stdout
    assert deblurzoo(*command, "--compare", "--overwrite").returncode == 0
    assert names(tmp_path / "out") == ["a.compare.png", "a.png"]
    assert "no comparison" not in deblurzoo(*command, "--compare").stdout


def test_odd_exif_does_not_end_a_folder(deblurzoo: Run, identity: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    altitude = Exif(tags={34853: {5: Entry(3, struct.pack("<H", 256))}}).block()
    for name in ("a.jpg", "b.png", "c.webp"):
        Image.fromarray(noise()).save(tmp_path / "in" / name, exif=b"Exif\0\0" + altitude)
    Image.fromarray(noise()).save(tmp_path / "in" / "d.jpg", exif=b"Exif\0\0" + b"II*\0\xff\xff\0\0")
    done = deblurzoo("deblur", "in", "--checkpoint", identity, "--out", "out")
    assert done.returncode == 0 and names(tmp_path / "out") == ["a.jpg", "b.png", "c.webp", "d.jpg"]
    assert done.stdout.count("corrupt metadata is dropped") == 1
    assert "d.jpg: 52x40, 1 tile; corrupt metadata is dropped: the end of EXIF" in done.stdout


def test_losses_in_videos_are_told_before_the_work(deblurzoo: Run, identity: Path, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mov"), "w") as container:
        stream = container.add_stream("prores_ks", rate=25, options={"profile": "4444"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuva444p10le"
        for image in moving(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image).reformat(format="yuva444p10le")))
        container.mux(stream.encode())
    done = deblurzoo("deblur", "a.mov", "--checkpoint", identity, "--out", "out")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "a.mov: 12 bits per value become 10, transparency is dropped in the result"
    assert lines[1].startswith("out/a.mov: 3 frames of 64x48")


def test_wrong_options(identity: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture, out = save(tmp_path / "a.png"), tmp_path / "out"
    (tmp_path / "empty").mkdir()
    for given, checkpoint, more, message in (
        (tmp_path / "empty", identity, [], "empty contains no photos or videos: choose another folder"),
        (picture, identity, ["--memory", "much"], "much is not a memory size: use a size such as 2GB"),
        (picture, tmp_path / "none", [], "none does not exist"),
        (tmp_path / "nothing.png", identity, [], "1 of 1 files could not be restored"),
    ):
        with pytest.raises(DeblurzooError, match=message):
            main([str(given), "--checkpoint", str(checkpoint), "--out", str(out), *more])
    assert "nothing.png does not exist: check the path" in capsys.readouterr().err
    out.write_text("a file")
    with pytest.raises(DeblurzooError, match=r"--out .*out is not a folder: choose another folder"):
        main([str(picture), "--checkpoint", str(identity), "--out", str(out)])
    assert out.read_text() == "a file"


def test_another_input_of_the_name_of_a_result_is_not_skipped(deblurzoo: Run, identity: Path, tmp_path: Path) -> None:
    arguments = ["--checkpoint", identity, "--out", "out"]
    for place, seed in (("1", 1), ("2", 2)):
        save(tmp_path / place / "a.png", seed)
        save(tmp_path / place / "deep" / "b.png", 3)
    assert deblurzoo("deblur", "1", *arguments).returncode == 0
    done = deblurzoo("deblur", "2", *arguments)
    refused(
        done, "error: results of other inputs exist (out/a.png was made of 1/a.png, not of 2/a.png): choose another"
    )
    np.testing.assert_array_equal(opened(tmp_path / "out" / "a.png"), noise(1))
    (tmp_path / "1").rename(tmp_path / "moved")  # the same inputs in another place
    assert "2 of 2 files skipped" in deblurzoo("deblur", "moved", *arguments).stdout
    assert deblurzoo("deblur", "2", *arguments, "--overwrite").returncode == 0
    np.testing.assert_array_equal(opened(tmp_path / "out" / "a.png"), noise(2))
    assert "2 of 2 files skipped" in deblurzoo("deblur", "2", *arguments).stdout


def test_a_comparison_and_a_result_of_one_name_do_not_replace_each_other(
    deblurzoo: Run, identity: Path, tmp_path: Path
) -> None:
    save(tmp_path / "a.png", 1)
    save(tmp_path / "a.compare.png", 2)
    comparison, result = (["a.png", "--compare"], ["a.compare.png"])
    for out, first, second in (("1", comparison, result), ("2", result, comparison)):
        arguments = ["--checkpoint", identity, "--out", out]
        assert deblurzoo("deblur", *first, *arguments).returncode == 0
        before = (tmp_path / out / "a.compare.png").read_bytes()
        done = deblurzoo("deblur", *second, *arguments)
        refused(done, f"({out}/a.compare.png was made of {first[0]}, not of {second[0]}): choose another --out folder")
        assert (tmp_path / out / "a.compare.png").read_bytes() == before
        assert "1 of 1 files skipped" in deblurzoo("deblur", *first, *arguments).stdout


def test_records_that_cannot_be_read_are_ignored(deblurzoo: Run, identity: Path, tmp_path: Path) -> None:
    save(tmp_path / "a.png", 1)
    arguments = ["deblur", "a.png", "--checkpoint", identity, "--out", "out"]
    assert deblurzoo(*arguments).returncode == 0
    record = tmp_path / "out" / RECORD
    whole = record.read_text()
    for content in ("", whole[:-5], "[]\n1\nnull\n{}\n" + '{"result": ["a.png"]}', 2000 * "[", "\udcff"):
        record.write_text(content, errors="surrogateescape")
        assert "1 of 1 files skipped" in deblurzoo(*arguments).stdout
    record.write_text(whole[:-5])  # killed while writing
    assert deblurzoo(*arguments, "--overwrite").returncode == 0
    save(tmp_path / "a.png", 2)
    refused(deblurzoo(*arguments), "out/a.png was made of another a.png)")


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
        and errors[0] == "error: 9 of 11 files could not be restored, see above; all others are restored"
    )
    refused(done)
    assert names(tmp_path / "out") == ["a.png", "z.png"]
    for folder in ("in/closed", "in/listed", "shut"):
        (tmp_path / folder).chmod(0o700)


def test_names_of_results_do_not_act_upon_a_terminal(deblurzoo: Run, identity: Path, tmp_path: Path) -> None:
    save(tmp_path / "in" / "\x1b[31m[b]:smile:.png")
    done = deblurzoo("deblur", "in", "--checkpoint", identity, "--out", "out")
    assert done.returncode == 0 and done.stdout.startswith(r"out/\x1b[31m[b]:smile:.png: 52x40, 1 tile, ")


def test_names_of_the_greatest_length(deblurzoo: Run, identity: Path, tmp_path: Path) -> None:
    long = [f"{251 * 'x'}.png", f"{125 * 'ä'}x.png"]  # 255 bytes each
    for name in (*long, "z.png"):
        save(tmp_path / "in" / name)
    arguments = ["deblur", "in", "--checkpoint", identity, "--out"]
    assert deblurzoo(*arguments, "out").returncode == 0
    assert names(tmp_path / "out") == sorted([*long, "z.png"])
    done = deblurzoo(*arguments, "compared", "--compare")
    refused(done, ".compare.png cannot be written (File name too long)", "error: 2 of 3 files could not be restored")
    assert names(tmp_path / "compared") == ["z.compare.png", "z.png"]


def test_a_result_whose_folder_loses_its_permission(
    deblurzoo: Run, identity: Path, obeying: None, tmp_path: Path
) -> None:
    for name in ("a/1.png", "b/2.png"):
        save(tmp_path / "in" / name)
    (tmp_path / "out" / "a").mkdir(parents=True, mode=0o700)
    (tmp_path / "out" / "a").chmod(0o500)
    done = deblurzoo("deblur", "in", "--checkpoint", identity, "--out", "out")
    refused(done, "error: out/a/1.png cannot be written (no permission to write in ", "error: 1 of 2 files")
    assert names(tmp_path / "out") == ["b/2.png"]


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


def test_every_error_names_its_file(deblurzoo: Run, identity: Path, tmp_path: Path) -> None:
    Image.new("RGB", (900, 300)).save(tmp_path / "large.png")
    done = deblurzoo("deblur", "large.png", "--checkpoint", identity, "--out", "out", "--memory", "1MB")
    refused(done, "error: large.png: an image of 900x300 needs about ")
