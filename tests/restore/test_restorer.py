import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import deblurzoo
from deblurzoo.errors import DeblurzooError
from deblurzoo.nets import FlowRNN
from deblurzoo.nets.base import restore_any_size
from deblurzoo.ops.bfloat16 import has_bfloat16
from deblurzoo.restore.restorer import Restorer


def noise(height: int, width: int, dtype: Any = np.uint8, seed: int = 0) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    if np.issubdtype(dtype, np.floating):
        return rng.random((height, width, 3)).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, (height, width, 3), dtype=dtype, endpoint=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("size", [(16, 16), (17, 31), (64, 48)])
def test_returns_the_same_kind_and_loses_nothing(identity: Path, dtype: Any, size: tuple[int, int]) -> None:
    picture = noise(*size, dtype)
    restored = deblurzoo.load(identity)(picture)
    assert restored.dtype == dtype and restored.flags.c_contiguous
    np.testing.assert_allclose(restored, picture, rtol=1e-6 if dtype == np.float64 else 0)


def test_views_are_taken(identity: Path) -> None:
    picture = noise(40, 60)[::-1, ::-2]
    np.testing.assert_array_equal(deblurzoo.load(identity)(picture), picture)


@pytest.mark.parametrize("variant", ["full", "two_directions", "no_rnns"])
@pytest.mark.parametrize("size", [(17, 31), (70, 130)])
def test_frames_see_their_neighbours_and_stand_in_for_missing_ones(variant: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    net = FlowRNN(variant=variant, width=0.125)  # type: ignore[arg-type]
    frames = [noise(*size, np.float32, seed) for seed in range(3)]
    restored = Restorer(net, device="cpu")(frames)
    for number, (following, previous) in enumerate([(1, 0), (2, 0), (2, 1)]):
        seen = [frames[i] for i in (number, following, previous)][: net.frames]
        with torch.inference_mode():
            expected = restore_any_size(net, torch.from_numpy(np.stack(seen)).permute(0, 3, 1, 2)[None])
        np.testing.assert_allclose(
            restored[number], expected[0].permute(1, 2, 0).clamp(0, 1).numpy(), atol=1e-6, err_msg=f"frame {number}"
        )


def test_bfloat16_is_near(two_frames: Path) -> None:
    picture = noise(64, 64, np.float32)
    exact, near = (deblurzoo.load(two_frames, precision=p)(picture) for p in ("fp32", "bf16"))  # type: ignore[arg-type]
    assert 0 < np.abs(exact - near).max() < 0.05


def test_fast_is_bfloat16_where_the_device_has_it(two_frames: Path) -> None:
    image = noise(64, 64, np.float32)
    known = "bf16" if has_bfloat16("cpu") else "fp32"
    fast, expected = (deblurzoo.load(two_frames, "cpu", precision)(image) for precision in ("fast", known))  # type: ignore[arg-type]
    np.testing.assert_array_equal(fast, expected)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (noise(20, 20)[..., 0], r"has shape \(20, 20\): pass \(H, W, 3\) RGB"),
        (noise(20, 20).repeat(2, axis=2)[..., :4], r"has shape \(20, 20, 4\)"),
        (noise(20, 20).astype(np.int32), "has dtype int32: pass uint8, uint16 or floats"),
        (noise(20, 20).astype(np.float32), r"floats ranges from 0\.0 to 255\.0: scale it to"),
        (np.full((20, 20, 3), np.nan), "floats ranges from nan"),
        ([noise(64, 64), noise(64, 65)], "consecutive frames differ"),
    ],
)
def test_what_is_no_picture_is_refused(two_frames: Path, picture: Any, message: str) -> None:
    with pytest.raises(DeblurzooError, match=message):
        deblurzoo.load(two_frames)(picture)


def test_checkpoint_file_run_folder_and_nothing(identity: Path, tmp_path: Path) -> None:
    file = next(identity.glob("checkpoints/*.ckpt"))
    assert deblurzoo.load(file).frames == deblurzoo.load(str(identity)).frames == 1
    with pytest.raises(
        DeblurzooError, match=r"has no checkpoints/step_\*\.ckpt and no model\.safetensors: give a run folder"
    ):
        deblurzoo.load(tmp_path)
    with pytest.raises(DeblurzooError, match=r"checkpoint .*nothing\.ckpt does not exist"):
        deblurzoo.load(tmp_path / "nothing.ckpt")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is available")
def test_a_missing_gpu_is_told(identity: Path) -> None:
    with pytest.raises(DeblurzooError, match="device=cuda requires a GPU, but torch finds none: use cpu or auto"):
        deblurzoo.load(identity, device="cuda")


def test_the_package_alone_imports_no_torch() -> None:
    subprocess.run([sys.executable, "-c", "import deblurzoo, sys; assert 'torch' not in sys.modules"], check=True)


def test_the_example_of_the_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "deblur.md").read_text()
    examples = [code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "deblurzoo.load" in code]
    assert len(examples) == 1
    picture = noise(33, 47)
    Image.fromarray(picture).save(tmp_path / "blurry.png")
    monkeypatch.chdir(tmp_path)
    exec(examples[0], {})
    expected = deblurzoo.load()(picture)
    np.testing.assert_array_equal(np.asarray(Image.open("restored.png")), expected)
    assert not np.array_equal(expected, picture)
