"""`deblurzoo import` of sources that are no files, and of tensors that no network can use: one short message."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from deblurzoo.errors import DeblurzooError
from deblurzoo.nets import NAFNet
from deblurzoo.weights import import_weights
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
