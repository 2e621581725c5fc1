from pathlib import Path

import numpy as np
import torch

from conftest import FLOW_TOY
from deblurzoo.media.images import read_image
from deblurzoo.ops.warp import warp


def test_true_flow_warps_the_next_sharp_frame_onto_its_frame(flow_toy: Path) -> None:
    for clip in flow_toy.glob("*/*"):
        assert [path.name for path in sorted((clip / "flow").iterdir())] == ["000001.npy", "000002.npy"]
        frame, following = (
            torch.from_numpy(read_image(clip / "sharp" / f"00000{n}.png")).permute(2, 0, 1)[None] / 255 for n in (1, 2)
        )
        flow = torch.from_numpy(np.load(clip / "flow" / "000001.npy"))[None]
        assert flow.shape == (1, 2, FLOW_TOY.height, FLOW_TOY.width) and flow.dtype == torch.float32
        errors = [(warp(following, f) - frame).abs().median() for f in (flow, torch.zeros_like(flow), -flow)]
        assert errors[0] < 0.6 * errors[1] and errors[0] < 0.6 * errors[2]
