"""`deblurzoo deblur` from the user's point of view: results, comparisons, records and messages."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from conftest import Run
from deblurzoo.commands.deblur import main
from deblurzoo.errors import DeblurzooError
from deblurzoo.media.exif import Entry, Exif
from deblurzoo.restore.inputs import RECORD
from restore.pictures import names, noise, opened, save
from verbs import refused
from videos import moving


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
    assert errors[1] == "error: 1 of 4 files could not be restored, see above; all other files are restored"
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


def test_every_error_names_its_file(deblurzoo: Run, identity: Path, tmp_path: Path) -> None:
    Image.new("RGB", (900, 300)).save(tmp_path / "large.png")
    done = deblurzoo("deblur", "large.png", "--checkpoint", identity, "--out", "out", "--memory", "1MB")
    refused(done, "error: large.png: an image of 900x300 needs about ")
