"""Checkpoints that claim much memory or time: every command has one message, after the time for a file of this size."""

import io
import itertools
import pickle
import random
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import TINY, Run
from deblurzoo.errors import DeblurzooError
from deblurzoo.training.checkpoints import load_any
from untrusted.content import checkpoint
from weights.test_sources import Call

Content = dict[str, Any]
ZIPPED = zipfile.ZIP_DEFLATED


def _net(**arguments: Any) -> Callable[[], Content]:
    return lambda: checkpoint(**arguments)


def _first(tensor: torch.Tensor) -> Callable[[], Content]:
    """Return a function that returns a checkpoint with a tensor in place of its first one."""

    def content() -> Content:
        whole = checkpoint()
        whole["state_dict"][next(iter(whole["state_dict"]))] = tensor
        return whole

    return content


def _beside(value: Callable[[], Any]) -> Callable[[], Content]:
    return lambda: {**checkpoint(), "odd": value()}


def nested() -> list[Any]:
    """Return 28 lists that each contain the next one twice, that is, 2**28 values in all."""
    values: list[Any] = []
    for _ in range(28):
        values = [values, values]
    return values


def copies() -> list[Any]:
    """Return calls that each copy one list."""
    values = list(range(50_000))
    return [values, [Call(torch.Size, values) for _ in range(20_000)]]


SHARED = "its values share bytes, and would need much more memory than the file"
LARGER = "its arguments are of a much larger network than its weights"
HOSTILE: dict[str, tuple[Callable[[], Content], str]] = {
    "calls": (_beside(lambda: Call(bytearray, 2**40)), "loading it would call __builtin__.bytearray"),
    "pairs": (_beside(lambda: Call(OrderedDict, torch.zeros(1).expand(2**20, 2))), "the file is corrupt"),
    "copies": (_beside(copies), "the file is corrupt"),
    "references": (_beside(nested), SHARED),
    "arguments": (_net(block=nested()), SHARED),
    "optimizer": (lambda: {**checkpoint(), "optimizer_states": [torch.zeros(1).expand(2**40)]}, SHARED),
    "strides": (_first(torch.zeros(1).expand(2**20, 2**20)), SHARED),
    "no values": (_first(torch.empty(2**20, 2**20, device="meta")), SHARED),
    "width": (_net(width=300.0), LARGER),
    "blocks": (_net(blocks=10**7), LARGER),
    "complex": (_first(torch.zeros(4, 6, 3, 3, dtype=torch.complex64)), "of torch.complex64"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_checkpoint_that_claims_memory_or_time_has_one_message(kind: str, tmp_path: Path) -> None:
    content, expected = HOSTILE[kind]
    torch.save(content(), tmp_path / "step_1.ckpt")
    with pytest.raises(DeblurzooError, match=r"step_1\.ckpt .*" + expected):
        load_any(tmp_path / "step_1.ckpt")


def test_every_command_has_the_message(deblurzoo: Run, toy: Path, photos: Path, tmp_path: Path) -> None:
    torch.save(HOSTILE["references"][0](), tmp_path / "a.ckpt")
    data = ["data=toy", f"data.root={toy}", "trainer=cpu", "datamodule.workers=0"]
    for command in (
        ["evaluate", "checkpoint=a.ckpt", *data],
        ["train", *TINY, *data, "resume=a.ckpt"],
        ["train", *TINY, *data, "init=a.ckpt", "name=new"],
        ["deblur", photos / "1.png", "--checkpoint", "a.ckpt"],
        ["export", "--checkpoint", "a.ckpt", "--out", "exported"],
    ):
        done = deblurzoo(*command)
        assert done.returncode != 0 and f"a.ckpt cannot be read ({SHARED})" in done.stderr + done.stdout
    assert not (tmp_path / "exported").exists()


def test_a_compressed_checkpoint_is_not_loaded(tmp_path: Path) -> None:
    torch.save(checkpoint(), tmp_path / "whole.ckpt")
    with zipfile.ZipFile(tmp_path / "whole.ckpt") as whole, zipfile.ZipFile(tmp_path / "a.ckpt", "w", ZIPPED) as zipped:
        for name in whole.namelist():
            zipped.writestr(name, whole.read(name))
    with pytest.raises(DeblurzooError, match=r"a\.ckpt cannot be read \(it is compressed, unlike files of torch\)"):
        load_any(tmp_path / "a.ckpt")


class Key(str):
    """Key of a storage."""


class Keys(pickle._Pickler):
    """Pickler that writes a key as a storage."""

    def persistent_id(self, value: Any) -> Any:
        """Return torch's description of a storage of 1,024 values."""
        return ("storage", torch.FloatStorage, str(value), "cpu", 1024) if isinstance(value, Key) else None


def test_the_bytes_of_a_storage_are_used_once(tmp_path: Path) -> None:
    """torch ignores the case of names in archives: each of 256 keys would have the same bytes in other memory."""
    keys = [Key("".join(letters)) for letters in itertools.product(*("aA" for _ in range(8)))]
    Keys(content := io.BytesIO(), 2).dump(keys)
    with zipfile.ZipFile(tmp_path / "a.ckpt", "w") as archive:
        for name, part in {"data.pkl": content.getvalue(), "version": b"3", "data/aaaaaaaa": bytes(4096)}.items():
            archive.writestr(f"a/{name}", part)
    with pytest.raises(DeblurzooError, match=r"a\.ckpt cannot be read \(the file is corrupt"):
        load_any(tmp_path / "a.ckpt")


def test_damaged_checkpoints_have_a_message_or_the_weights(tmp_path: Path) -> None:
    file = tmp_path / "step_1.ckpt"
    torch.save(checkpoint(), file)
    whole, state, rng, messages = file.read_bytes(), load_any(file).state_dict(), random.Random(0), 0
    for number in range(24):
        damaged = bytearray(whole)
        if number % 2:
            del damaged[rng.randrange(len(whole)) :]
        else:
            damaged[rng.randrange(len(whole))] ^= rng.randrange(1, 256)
        file.write_bytes(damaged)
        try:
            found = load_any(file).state_dict()
        except DeblurzooError as error:
            assert "step_1.ckpt" in str(error)
            messages += 1
        else:
            assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
    assert messages > 18
