"""Files of strangers: whatever is in them, a message and no harm."""

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deblurzoo.compare import gather
from deblurzoo.data.images import read_image
from deblurzoo.data.packed import Index
from deblurzoo.entry import build
from deblurzoo.errors import DeblurzooError
from deblurzoo.modules.exports import read_export
from deblurzoo.modules.loading import load_module, read_checkpoint
from deblurzoo.modules.srn import SRNDeblur
from deblurzoo.restore.pictures import read_picture
from deblurzoo.status import name_of, problem

Damage = Callable[[bytes], bytes]
FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def damages(draw: st.DrawFn) -> Damage:
    """Draw a way to damage a file: cut it, or overwrite a part of it."""
    place, length = draw(st.floats(0, 1)), draw(st.integers(1, 64))
    noise = draw(st.binary(min_size=length, max_size=length))

    def damage(content: bytes) -> bytes:
        start = int(place * len(content))
        return content[:start] if noise[0] % 2 else content[:start] + noise + content[start + length :]

    return damage


def png_head(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("read", [read_image, read_picture])
def test_a_picture_that_claims_billions_of_pixels_is_refused(read: Callable[[Path], object], tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(png_head(65535, 65535))
    with pytest.raises(DeblurzooError, match=r"bomb\.png cannot be read"):
        read(bomb)


@pytest.mark.parametrize("target", ["os.system", "subprocess.run", "builtins.exec"])
def test_a_config_out_of_a_file_calls_nothing_but_what_is_known(target: str, tmp_path: Path) -> None:
    config = {"_target_": "deblurzoo.data.Folder", "test": {"blur": [{"_target_": target, "command": "touch bomb"}]}}
    with pytest.raises(DeblurzooError, match=f"_target_={target} is of none of deblurzoo, torch"):
        build(config)


def test_a_target_in_a_checkpoint_is_not_called(tmp_path: Path) -> None:
    module = SRNDeblur({"kernel_size": 3, "blocks": 1, "width": 0.125}, {"lr": 1e-4}, {"steps": 1, "power": 1})
    arguments = {**module.hparams, "net": {**module.hparams["net"], "_target_": "os.system", "command": "touch bomb"}}
    checkpoint = {
        **{"deblurzoo": {"module": "SRNDeblur", "run_id": "0", "blur_folder": "blur"}, "global_step": 1},
        **{"state_dict": module.state_dict(), "hyper_parameters": arguments},
        **{"optimizer_states": [], "lr_schedulers": []},
    }
    path = tmp_path / "step_1.ckpt"
    torch.save(checkpoint, path)
    with pytest.raises(DeblurzooError, match="does not fit SRNDeblur"):
        load_module(read_checkpoint(path), path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
@FUZZ
@given(damage=damages())
def test_damaged_pictures_are_read_or_refused(suffix: str, damage: Damage, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    path = tmp_path / f"picture{suffix}"
    path.write_bytes(damage(cv2.imencode(suffix, noise)[1].tobytes()))
    for read in (read_image, read_picture):
        try:
            read(path)
        except DeblurzooError as error:
            assert str(path) in str(error)


@FUZZ
@given(damage=damages())
def test_damaged_checkpoints_are_read_or_refused(damage: Damage, tmp_path: Path) -> None:
    path = tmp_path / "step_1.ckpt"
    torch.save({"deblurzoo": {"module": "SRNDeblur"}, "state_dict": {"weight": torch.zeros(9)}}, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DeblurzooError):
        read_checkpoint(path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("state", "reason", "name", "network", "deblurzoo", "clips", "format", "dataset", "restored", "images", "host")


@FUZZ
@given(content=VALUES | st.dictionaries(st.sampled_from(KEYS), VALUES))
def test_any_json_is_read_or_refused(content: object, tmp_path: Path) -> None:
    text = json.dumps(content)
    for name in ("status.json", "run.json", "results.json", "config.json", "index.json"):
        (tmp_path / name).write_text(text)
    problem(tmp_path)
    name_of(tmp_path)
    gather([tmp_path])
    for read in (lambda: read_export(tmp_path / "model.safetensors"), lambda: Index.read(tmp_path / "index.json")):
        with pytest.raises(DeblurzooError):
            read()
