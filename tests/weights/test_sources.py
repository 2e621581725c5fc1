"""`deblurzoo import` of sources that are no files, tensors that no network can use, hostile files: one message."""

import os
import struct
import zlib
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from deblurzoo.errors import DeblurzooError
from deblurzoo.nets import NAFNet
from deblurzoo.weights import import_weights
from parity.weights import TRAINED
from weights import files


def message(source: Path, network: str) -> str:
    """Return the message of an import that fails, and that writes nothing."""
    before = sorted(source.parent.iterdir())
    with pytest.raises(DeblurzooError) as failure:
        import_weights(source, network, source.parent / "out")
    assert sorted(source.parent.iterdir()) == before
    return str(failure.value)


@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "folder"])
def test_data_that_are_no_file_are_not_read(kind: str, tmp_path: Path) -> None:
    """Reading a pipe would wait for ever."""
    index = files.write_checkpoint(tmp_path / "a.index", {"Variable": np.int32([7])})
    data = index.with_suffix(".data-00000-of-00001")
    data.unlink()
    if kind == "folder":
        data.mkdir()
    else:
        pipe = tmp_path / "pipe" if kind == "link to a pipe" else data
        os.mkfifo(pipe)
        if pipe != data:
            data.symlink_to(pipe)
    assert f"({data.name} is not a file)" in message(index, "srn")


def test_messages_name_the_sources_of_the_network(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pth")
    (tmp_path / "folder").mkdir()
    (tmp_path / "x.zip").touch()
    for name, network, expected in (
        ("pipe.pth", "nafnet", "pipe.pth is not a file: give a file .pth"),
        ("none.pth", "nafnet", "none.pth does not exist: give a file .pth"),
        ("folder", "liu2016", "folder is a folder: give a file .caffemodel or .mat"),
        ("folder", "srn", "it has none: give an .index file"),
        ("x.zip", "srn", "has an unknown format: give a file .index, or a folder with one TensorFlow checkpoint"),
    ):
        assert expected in message(tmp_path / name, network)


@pytest.mark.parametrize("name", ["x" * 1_000_000, "two\nlines\x1b[31m"])
def test_names_of_any_length_and_content_give_one_short_line(name: str, tmp_path: Path) -> None:
    index = files.write_checkpoint(tmp_path / "a.index", {"Variable": np.int32([7])}, {name: files.field(1, 99)})
    text = message(index, "srn")
    assert name[:12].encode("unicode_escape").decode() in text
    assert text.isprintable() and len(text) < 1000


def test_values_beyond_float32_are_not_finite(tmp_path: Path) -> None:
    state = NAFNet(width=2, encoder_blocks=(0,), middle_blocks=0, decoder_blocks=(0,)).double().state_dict()
    state["ending.bias"][1] = 1e300
    file = files.write_nafnet(tmp_path / "net.pth", state)
    assert "its tensor ending.bias has values that are not finite numbers of float32" in message(file, "nafnet")


def test_thousands_of_blocks_are_not_built(tmp_path: Path) -> None:
    state = NAFNet(width=2, encoder_blocks=(0,), middle_blocks=0, decoder_blocks=(0,)).state_dict()
    state |= {f"middle_blks.{n}.beta": torch.zeros(1) for n in range(201)}
    file = files.write_nafnet(tmp_path / "net.pth", state)
    assert "it has tensors of 201 blocks, which are more than 200" in message(file, "nafnet")


TENSORS: dict[str, Callable[[], Tensor]] = {
    "sparse": lambda: torch.eye(3).to_sparse(),
    "compressed": lambda: torch.eye(3).to_sparse_csr(),
    "nested": lambda: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
    "without values": lambda: torch.zeros(3, device="meta"),
    "complex": lambda: torch.zeros(3, dtype=torch.complex64),
    "whole numbers": lambda: torch.zeros(3, dtype=torch.int64),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch warns that sparse and nested tensors may change
@pytest.mark.parametrize("kind", TENSORS)
def test_other_tensors_than_plain_floats_are_named(kind: str, tmp_path: Path) -> None:
    state = {"intro.weight": torch.zeros(4, 3, 3, 3), "odd": TENSORS[kind]()}
    file = files.write_nafnet(tmp_path / "net.pth", state)
    assert "(odd is not a plain tensor of a float type)" in message(file, "nafnet")


class Call:
    """An object whose pickle calls a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


ODD: dict[str, tuple[object, str]] = {
    "bytes": (Call(bytearray, 2**20), "loading it would call __builtin__.bytearray"),
    "set": (Call(set, torch.zeros(1).expand(99)), "loading it would call __builtin__.set"),
    "counter": (Call(Counter, torch.zeros(1).expand(99)), "loading it would call collections.Counter"),
    "tensor": (Call(torch.Tensor, 2**20), "loading it would call torch.Tensor"),
    "dict": (Call(OrderedDict, torch.zeros(1).expand(99, 2)), "the file is corrupt"),
    "size": (Call(torch.Size, torch.zeros(1, dtype=torch.int64).expand(99)), "the file is corrupt"),
    "text": (["x" * 2**22, 0], "the file is corrupt"),
}
"""Values beside a state dict, which `weights_only=True` allows; some of them can use any amount of memory or time."""


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", ODD)
def test_values_that_can_use_much_memory_are_not_loaded(kind: str, zipped: bool, tmp_path: Path) -> None:
    value, expected = ODD[kind]
    content = {"params": {"intro.weight": torch.zeros(4, 3, 3, 3)}, "odd": value}
    torch.save(content, tmp_path / "net.pth", _use_new_zipfile_serialization=zipped)
    assert f"({expected}" in message(tmp_path / "net.pth", "nafnet")


def test_names_that_share_bytes_do_not_use_memory(tmp_path: Path) -> None:
    """Each name is one byte longer than the name before: the names would have 200 MB."""
    entries = b"".join(files.varint(n) + files.varint(1) + files.varint(0) + b"a" for n in range(20_000))
    index = files.write_table(tmp_path / "a.index", entries)
    assert "(the names of a block have more than 16,777,216 bytes)" in message(index, "srn")


def test_shapes_with_thousands_of_axes_are_not_multiplied(tmp_path: Path) -> None:
    expected = "a shape has 5,000 axes, and more than 32 are not supported"
    large = b"".join(files.field(2, files.field(1, 2**40)) for _ in range(5000))
    entry = {"odd": files.field(1, 1) + files.field(2, large) + files.field(5, 4)}
    assert expected in message(files.write_checkpoint(tmp_path / "a.index", {"V": np.int32([7])}, entry), "srn")
    shape = files.field(7, files.field(1, files.varint(2**40) * 5000))
    layer = files.field(100, files.field(1, b"odd") + files.field(7, files.field(5, bytes(4)) + shape))
    (tmp_path / "a.caffemodel").write_bytes(layer)
    assert expected in message(tmp_path / "a.caffemodel", "svrnn")
    sizes = struct.pack("<II", 5, 20_000) + struct.pack("<i", 2**31 - 1) * 5000
    array = struct.pack("<IIII", 6, 8, 7, 0) + sizes + struct.pack("<IIII", 1, 0, 7, 0)
    header = TRAINED.read_bytes()[:128]
    (tmp_path / "a.mat").write_bytes(header + struct.pack("<II", 14, len(array)) + array)
    assert expected in message(tmp_path / "a.mat", "liu2016")


def test_hostile_files_run_nothing_and_use_little_memory(tmp_path: Path) -> None:
    touch = Call(Path.touch, tmp_path / "owned")
    torch.save({"params": {"intro.weight": touch}}, tmp_path / "call.pth")
    torch.save({"params": {"intro.weight": torch.zeros(1).expand(2**40, 3, 3, 3)}}, tmp_path / "large.pth")
    bomb = zlib.compress(struct.pack("<II", 14, 2**28) + bytes(2**28), level=1)
    header = TRAINED.read_bytes()[:128]
    (tmp_path / "bomb.mat").write_bytes(header + struct.pack("<II", 15, len(bomb)) + bomb)
    shape = struct.pack("<IIII", 5, 8, 2**30, 2**30)
    array = struct.pack("<IIII", 6, 8, 1, 0) + shape + struct.pack("<II", 1, 0)
    (tmp_path / "cells.mat").write_bytes(header + struct.pack("<II", 14, len(array)) + array)
    nested = struct.pack("<II", 14, 0)
    for _ in range(5000):
        cell = struct.pack("<IIIIIIIIII", 6, 8, 1, 0, 5, 8, 1, 1, 1, 0) + nested
        nested = struct.pack("<II", 14, len(cell)) + cell
    (tmp_path / "nested.mat").write_bytes(header + nested)
    large = b"".join(files.field(2, files.field(1, 2**40)) for _ in range(4))
    entry = {"g_net/dec1_0/biases": files.field(1, 1) + files.field(2, large) + files.field(5, 4)}
    files.write_checkpoint(tmp_path / "large.index", {"Variable": np.int32([7])}, entry)
    for name, network, message in (
        ("call.pth", "nafnet", "loading it would call"),
        ("large.pth", "nafnet", "its values share bytes, and would need much more memory than the file"),
        ("bomb.mat", "liu2016", "has more than 268,435,456 bytes"),
        ("cells.mat", "liu2016", "the number of fields of an array is damaged"),
        ("nested.mat", "liu2016", "nested too deeply"),
        ("large.index", "srn", r"g_net/dec1_0/biases has shape \(1099511627776, .*\), but 4 bytes"),
    ):
        with pytest.raises(DeblurzooError, match=message):
            import_weights(tmp_path / name, network, tmp_path / "out")
    assert not (tmp_path / "owned").exists() and not (tmp_path / "out").exists()
