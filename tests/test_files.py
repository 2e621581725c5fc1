import os
from pathlib import Path
from typing import BinaryIO

import pytest

from deblurzoo.errors import DeblurzooError
from deblurzoo.files import LOCK, claim, new_folder, release, replace_atomically, write_atomically
from deblurzoo.records import Record, load_record


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, b"old")

    def half(file: BinaryIO) -> None:
        file.write(b"ha")
        raise OSError(28, os.strerror(28))

    with pytest.raises(DeblurzooError, match=r"a\.json cannot be written \(No space left on device\)"):
        replace_atomically(path, half)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_unwritable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DeblurzooError, match="cannot be written"):
        write_atomically(tmp_path / "file" / "a.json", b"")


def test_releasing_a_folder_leaves_the_lock_of_whoever_has_it_now(tmp_path: Path) -> None:
    claim(tmp_path)
    (tmp_path / LOCK).unlink()
    (tmp_path / LOCK).write_bytes(b"")  # like the lock of another process
    release(tmp_path)
    assert (tmp_path / LOCK).exists()
    claim(tmp_path)
    release(tmp_path)
    assert not (tmp_path / LOCK).exists()


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_another_process_writes_meanwhile_is_kept(kind: str, tmp_path: Path) -> None:
    def write_both() -> None:
        with new_folder(tmp_path / "out"):
            theirs = tmp_path / "out" / "theirs" if kind == "folder" else tmp_path / "out"
            theirs.parent.mkdir(exist_ok=True)
            theirs.touch()

    with pytest.raises(DeblurzooError, match=r"out exists already: remove it or choose another folder"):
        write_both()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_lost_permission_has_its_remedy(obeying: None, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "run.json").chmod(0)
    with pytest.raises(DeblurzooError, match=r"run\.json cannot be used \(Permission denied\): change its permissions"):
        load_record(tmp_path / "run.json", Record, "run again")
    tmp_path.chmod(0o500)
    with pytest.raises(DeblurzooError, match=r"x cannot be written \(Permission denied\): change its permissions"):
        write_atomically(tmp_path / "x", b"")
    tmp_path.chmod(0o700)
