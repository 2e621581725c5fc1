"""Writers of weight files in the formats of TensorFlow and Caffe; a checksum bit by bit."""

import struct
from collections.abc import Mapping
from math import sqrt
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch

from parity.weights import formula

Array = npt.NDArray[Any]
RECORDED = Path(__file__).parent
"""Indexes of SRN's networks `color`, `gray` and `lstm`, written by TensorFlow for the weights of `srn_tensors`."""


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of any bytes, computed bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def varint(value: int) -> bytes:
    more = [value >> shift & 127 | 128 for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*more[:-1], more[-1] & 127])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def srn_tensors(channels: int, lstm: bool) -> dict[str, Array]:
    """Return the artificial weights of SRN-Deblur with TensorFlow's names, axes and order of creation."""
    tensors: dict[str, Array] = {}

    def add(layer: str, size: int, inputs: int, outputs: int, gain: float, shift: float = 0.0) -> None:
        n, deconv = len(tensors), size == 4
        shape = (size, size, outputs, inputs) if deconv else (size, size, inputs, outputs)
        scale = gain / sqrt((4 if deconv else size * size) * inputs)
        tensors[f"g_net/{layer}/weights"] = formula(n, shape, scale).numpy()
        tensors[f"g_net/{layer}/biases"] = formula(n + 1, (outputs,), 0.05, shift).numpy()

    def pairs(stage: str, numbers: tuple[int, ...], width: int) -> None:
        for number in numbers:
            add(f"{stage}_{number}/conv1", 5, width, width, 1.4)
            add(f"{stage}_{number}/conv2", 5, width, width, 0.5)

    inputs = 2 * channels
    for stage, width in (("enc1", 32), ("enc2", 64), ("enc3", 128)):
        add(f"{stage}_1", 5, inputs, width, 1.4)
        pairs(stage, (2, 3, 4), width)
        inputs = width
    if lstm:
        add("convLSTM/LSTM_conv", 3, 256, 512, 4)
    for stage, width, up in (("dec3", 128, "dec2_4"), ("dec2", 64, "dec1_4")):
        pairs(stage, (3, 2, 1), width)
        add(up, 4, width, width // 2, 1)
    pairs("dec1", (3, 2, 1), 32)
    gain, shift = (0.6, 0.2) if lstm else (0.15, 0.5 if channels == 3 else -0.2)
    add("dec1_0", 5, 32, channels, gain, shift)
    return tensors


def write_recorded(folder: Path, name: str, tensors: Mapping[str, Array]) -> Path:
    """Write the checkpoint of a recorded index; return the path of its index."""
    folder.mkdir()
    index = folder / "deblur.model-523000.index"
    index.write_bytes((RECORDED / f"{name}.index").read_bytes())
    data = b"".join(tensors[key].tobytes() for key in sorted(tensors))
    index.with_suffix(".data-00000-of-00001").write_bytes(data)
    return index


def write_checkpoint(index: Path, tensors: Mapping[str, Array], changed: Mapping[str, bytes] | None = None) -> Path:
    """Write a TensorFlow checkpoint with one block of entries; return the path of its index.

    Args:
        index: path to write.
        tensors: float32 or int32 tensors.
        changed: entries of the index that replace correct ones, by name.
    """
    entries, data = {"": field(1, 1) + field(3, field(1, 1))}, b""
    for name in sorted(tensors):
        content = tensors[name].tobytes()
        shape = b"".join(field(2, field(1, size)) for size in tensors[name].shape)
        entry = field(1, {"f": 1, "i": 3}[tensors[name].dtype.kind]) + field(2, shape)
        entry += (field(4, len(data)) if data else b"") + field(5, len(content))
        entries[name] = entry + varint(6 << 3 | 5) + masked(content)
        data += content

    content = b"".join(varint(0) + varint(len(key)) + varint(len(value)) + key.encode() + value
                       for key, value in {**entries, **(changed or {})}.items())  # fmt: skip
    index.with_suffix(".data-00000-of-00001").write_bytes(data)
    return write_table(index, content)


def write_table(index: Path, entries: bytes) -> Path:
    """Write a LevelDB table with one block of entries; return its path."""

    def block(content: bytes) -> bytes:
        content += struct.pack("<II", 0, 1) + b"\0"
        return content + masked(content)

    def handle(offset: int, length: int) -> bytes:
        return varint(offset) + varint(length - 5)

    first, meta = block(entries), block(b"")
    place = handle(0, len(first))
    listing = block(varint(0) + varint(1) + varint(len(place)) + b"~" + place)
    footer = handle(len(first), len(meta)) + handle(len(first) + len(meta), len(listing))
    index.write_bytes(first + meta + listing + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57))
    return index


def caffe_blob(values: Array, old: bool = False) -> bytes:
    if old:
        dims = (1,) * (4 - values.ndim) + values.shape
        return b"".join(field(n, dim) for n, dim in enumerate(dims, 1)) + field(8, values.astype("<f8").tobytes())
    return field(5, values.astype("<f4").tobytes()) + field(7, field(1, b"".join(map(varint, values.shape))))


def write_caffe(path: Path, layers: Mapping[str, list[Array]], old: bool = False) -> Path:
    """Write a Caffe model with an input, and layers with blobs that read each other's output; return its path.

    Args:
        path: path to write.
        layers: blobs of each layer.
        old: whether to write layers of version 1 with shapes of four numbers and double precision.
    """
    content = field(1, b"net") + (field(3, b"data") if old else b"")
    if not old:
        content += field(100, field(1, b"input") + field(2, b"Input") + field(4, b"data") + field(10, 0))
    before = b"data"
    for layer, blobs in layers.items():
        name = layer.encode()
        parts = [caffe_blob(blob, old) for blob in blobs]
        if old:
            text = field(2, before) + field(3, name) + field(4, name) + field(5, 4)
            content += field(2, text + b"".join(field(6, part) for part in parts))
        else:
            text = field(1, name) + field(2, b"Convolution") + field(3, before) + field(4, name)
            rate = field(6, varint(3 << 3 | 5) + struct.pack("<f", 1))
            content += field(100, text + rate + b"".join(field(7, part) for part in parts) + field(106, field(1, 3)))
        before = name
    path.write_bytes(content)
    return path


def write_nafnet(path: Path, state: Mapping[str, torch.Tensor], zipped: bool = True) -> Path:
    """Write a state dict in BasicSR's form; return the path."""
    torch.save({"params": dict(state)}, path, _use_new_zipfile_serialization=zipped)
    return path
