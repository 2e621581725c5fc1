"""Claims of free devices, here slots of the CPU."""

import os
import pwd
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from deblurzoo.errors import DeblurzooError
from deblurzoo.training.devices import SLOTS, claimed, first_of, selected


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the lock files, with two slots."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv(SLOTS, "2")
    return tmp_path / "deblurzoo-devices"


@contextmanager
def holding(devices: str) -> Iterator[int]:
    """Claim devices in another process, and yield its number."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        with claimed(devices, "cpu", "runs/theirs"):
            os.write(writing, b"claimed")
            signal.pause()
    assert os.read(reading, 7) == b"claimed"
    try:
        yield process
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise a TimeoutError in place of the first wait."""

    def sleep(_: float) -> None:
        raise TimeoutError

    monkeypatch.setattr("time.sleep", sleep)


def test_free_devices_are_claimed_and_released(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for _ in range(2):  # a process may run several jobs
        with claimed("free:2", "cpu", "runs/x") as devices:
            assert devices == 2
    with pytest.raises(KeyError), claimed("free", "cpu", "runs/x") as devices:
        raise KeyError
    with claimed("free", "cpu", "runs/x") as devices:
        assert devices == 1
    assert [file.name for file in sorted(folder.iterdir())] == ["CPU-0", "CPU-1"]
    assert caplog.messages == ["on CPU-0, CPU-1", "on CPU-0, CPU-1", "on CPU-0", "on CPU-0"]
    with claimed(3, "cpu", "runs/x") as devices:
        assert devices == 3


def test_devices_of_another_process_are_left_to_it(folder: Path, caplog: pytest.LogCaptureFixture, waits: None) -> None:
    caplog.set_level("INFO")
    with holding("free") as other:
        with claimed("free", "cpu", "runs/x"):
            assert caplog.messages == ["on CPU-1"]
        with pytest.raises(TimeoutError), claimed("free:2", "cpu", "runs/x"):
            pass
        assert caplog.messages[1] == (f"waiting for 2 free of 2 devices; in use: CPU-0 (process {other}, runs/theirs)")
        with holding("free"):  # CPU-1, which a waiting process does not keep
            pass
    with claimed("free:2", "cpu", "runs/x"):  # the system released those of the killed processes
        pass


def test_lock_files_of_others_are_neither_followed_nor_believed(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, waits: None
) -> None:
    folder.mkdir()
    (tmp_path / "mine").write_text("precious")
    (folder / "CPU-0").symlink_to(tmp_path / "mine")
    with pytest.raises(DeblurzooError, match=f"CPU-0 is a link, not a lock file: remove {folder}/CPU-0"):
        ExitStack().enter_context(claimed("free", "cpu", "runs/x"))
    assert (tmp_path / "mine").read_text() == "precious"
    (folder / "CPU-0").unlink()
    for kind, make, remove in (("FIFO", os.mkfifo, Path.unlink), ("folder", Path.mkdir, Path.rmdir)):
        make(folder / "CPU-0")
        with pytest.raises(DeblurzooError, match=f"CPU-0 is a {kind}, not a lock file: remove {folder}/CPU-0"):
            ExitStack().enter_context(claimed("free", "cpu", "runs/x"))
        remove(folder / "CPU-0")
    with claimed("free:2", "cpu", "runs/x"):
        assert [file.stat().st_mode & 0o777 for file in folder.iterdir()] == [0o666, 0o666]  # for all users
    caplog.set_level("INFO")
    with holding("free:2"):
        (folder / "CPU-0").write_bytes(b"\x1b[31mred\n\xff" + 1000 * b"x")
        with pytest.raises(TimeoutError), claimed("free", "cpu", "runs/x"):
            pass
        message = caplog.messages[-1]
        assert "in use: CPU-0 (\\x1b[31mred \ufffdxxx" in message and "\x1b" not in message and len(message) < 500


@pytest.mark.parametrize(
    ("devices", "slots", "message"),
    [
        ("free:3", "2", r"free:3: this machine has 2 \(CPU-0, CPU-1\): request fewer, or set DEBLURZOO_SLOTS=3"),
        ("free:99999", "2", r"free:99999: this machine has 2 \(CPU-0, CPU-1\): request fewer"),
        ("free:0", "2", "trainer.devices=free:0 is not a number of devices"),
        ("free:", "2", "trainer.devices=free: is not a number of devices"),
        ("free", "0", "DEBLURZOO_SLOTS=0 is not a number of jobs: set 1 or more"),
        ("free", "", "DEBLURZOO_SLOTS= is not a number of jobs: set 1 or more"),
    ],
)
def test_unknown_numbers(devices: str, slots: str, message: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SLOTS, slots)
    with pytest.raises(DeblurzooError, match=message):
        ExitStack().enter_context(claimed(devices, "cpu", "runs/x"))


def test_a_folder_that_cannot_be_used_is_named(folder: Path) -> None:
    folder.write_text("")
    with pytest.raises(DeblurzooError, match=r"deblurzoo-devices/CPU-0 cannot be locked \(Not a directory\)"):
        ExitStack().enter_context(claimed("free", "cpu", "runs/x"))


@pytest.mark.parametrize(("name", "mode"), [("CPU-0", "666"), ("", "1777")])
def test_a_permission_that_does_not_end_is_an_error(
    name: str, mode: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SLOTS, "1")
    with tempfile.TemporaryDirectory(dir="/tmp") as public:  # other users cannot open pytest's folders
        Path(public).chmod(0o755)
        path = Path(public, "deblurzoo-devices", name)
        path.parent.mkdir(exist_ok=True)
        path.touch() if name else path.mkdir()
        path.chmod(0)
        reading, writing = os.pipe()
        if os.fork() == 0:
            tempfile.tempdir = public
            if os.getuid() == 0:
                os.setuid(65534)
            try:
                ExitStack().enter_context(claimed("free", "cpu", "runs/x"))
            except DeblurzooError as error:
                os.write(writing, str(error).encode())
            os._exit(0)
        os.close(writing)
        os.wait()
        message = os.read(reading, 1000).decode()
        path.chmod(0o700)
    owner = pwd.getpwuid(os.getuid()).pw_name
    assert f"{path} of {owner} cannot be used (permission denied): {owner} can run `chmod {mode} {path}`" in message


def test_lightnings_devices_on_a_cpu() -> None:
    assert [selected(devices, "cpu") for devices in (3, "2", "auto")] == [[0, 1, 2], [0, 1], [0]]
    assert first_of(3, "cpu") == 1
    with pytest.raises(DeblurzooError, match=r"trainer\.devices=\[0, 1\]: .*int > 0"):
        selected([0, 1], "cpu")
