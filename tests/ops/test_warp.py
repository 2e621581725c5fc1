import math

import pytest
import torch
from torch import Tensor

from deblurzoo.ops.warp import end_point_error, enlarge, warp
from deblurzoo.pictures.flow_colours import colour_wheel, flow_colours
from deblurzoo.training.losses import warp_losses


def warp_by_loop(image: Tensor, flow: Tensor) -> Tensor:
    """Return the result of the authors' layer: bilinear, 0 outside of [0, W) x [0, H), the last pixel repeated."""
    batch, channels, height, width = image.shape
    out = torch.zeros_like(image)
    for b in range(batch):
        for y in range(height):
            for x in range(width):
                at_x, at_y = x + flow[b, 0, y, x].item(), y + flow[b, 1, y, x].item()
                if not (0 <= at_x < width and 0 <= at_y < height):
                    continue
                left, top = math.floor(at_x), math.floor(at_y)
                right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
                dx, dy = at_x - left, at_y - top
                for c in range(channels):
                    plane = image[b, c]
                    upper = (1 - dx) * plane[top, left] + dx * plane[top, right]
                    lower = (1 - dx) * plane[bottom, left] + dx * plane[bottom, right]
                    out[b, c, y, x] = (1 - dy) * upper + dy * lower
    return out


@pytest.mark.parametrize("size", [(6, 9), (1, 7), (5, 1), (1, 1)])
def test_warp_is_the_authors_layer(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    image, flow = torch.rand(2, 3, *size), 2 * torch.randn(2, 2, *size)
    flow[0, 0, 0, 0] = size[1] - 0.5  # beyond the centre of the last pixel
    torch.testing.assert_close(warp(image, flow), warp_by_loop(image, flow), rtol=0, atol=1e-6)


def test_warp_undoes_a_shift() -> None:
    frame = torch.rand(1, 3, 8, 10)
    following = torch.roll(frame, shifts=(2, -1), dims=(2, 3))  # everything moves 2 down and 1 left
    flow = torch.tensor([-1.0, 2.0])[None, :, None, None].expand(1, 2, 8, 10)
    torch.testing.assert_close(warp(following, flow)[..., :6, 1:], frame[..., :6, 1:], atol=1e-5, rtol=0)


def test_pixels_that_leave_give_no_gradient() -> None:
    flow = torch.zeros(1, 2, 4, 4)
    flow[0, 0, 0, 0] = -3
    flow.requires_grad_()
    warp(torch.rand(1, 1, 4, 4), flow).sum().backward()
    assert flow.grad is not None
    assert not flow.grad[0, :, 0, 0].any() and flow.grad[0, :, 1:3, 1:3].any()


def test_nan_flow_shows_in_the_result_and_is_harmless() -> None:
    flow = torch.zeros(1, 2, 8, 8)
    flow[0, 0, 3, 3] = torch.nan
    flow.requires_grad_()
    warped = warp(torch.rand(1, 3, 8, 8), flow)
    assert warped.isnan().sum() == 3
    warped.sum().backward()
    assert not flow_colours(flow.detach(), longest=1.0)[0, :, 3, 3].any()
    assert flow_colours(flow.detach(), longest=math.nan).shape == (1, 3, 8, 8)


def test_enlarged_flow_is_in_pixels_of_the_new_size() -> None:
    flow = torch.tensor([1.0, -0.5])[None, :, None, None].expand(1, 2, 3, 4)
    torch.testing.assert_close(enlarge(flow, (12, 16)), 4 * flow[..., :1, :1].expand(1, 2, 12, 16))


def test_end_point_error_is_a_distance() -> None:
    flow, truth = torch.zeros(1, 2, 2, 2), torch.tensor([3.0, 4.0])[None, :, None, None].expand(1, 2, 2, 2)
    assert torch.equal(end_point_error(flow, truth), torch.full((1, 2, 2), 5.0))


def test_colours_are_middleburys() -> None:
    assert colour_wheel().shape == (55, 3)
    flow = torch.zeros(1, 2, 1, 4)
    flow[0, :, 0, 1], flow[0, :, 0, 2], flow[0, :, 0, 3] = torch.tensor([[2.0, 0], [-2.0, 0], [0, 2.0]])
    still, right, left, down = flow_colours(flow, longest=2)[0, :, 0].T
    assert still.tolist() == [1, 1, 1]
    assert right[0] == 1 and right[1:].max() < 0.1  # red
    assert left[0] < 0.1 and left[1:].min() > 0.7  # cyan to blue
    assert down[:2].min() > 0.7 and down[2] < 0.1  # yellow
    assert flow_colours(3 * flow, longest=2)[0, :, 0, 1].max() < 0.8  # longer than `longest`: darker


def test_warp_losses_vanish_for_the_true_flow_and_not_for_others() -> None:
    torch.manual_seed(0)
    frame = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 32), scale_factor=16, mode="bicubic")
    following = torch.roll(frame, shifts=8, dims=3)
    blur = torch.stack([frame, following], dim=1)
    right = torch.zeros(1, 2, 32, 128)
    right[:, 0] = 8 / 4  # in pixels of its scale
    losses = [warp_losses((flow,), blur)["warp_next_1_4"] for flow in (right, torch.zeros_like(right), -right)]
    assert losses[0] < 0.3 * losses[1] and losses[0] < 0.3 * losses[2]


def test_scales_are_weighed_by_their_pixels_and_each_frame_has_a_term() -> None:
    blur = torch.zeros(1, 3, 3, 64, 64)
    blur[:, 1], blur[:, 2] = 1, 0.5
    flows = tuple(torch.zeros(1, 4, 64 // s, 64 // s) for s in (4, 8, 64))
    losses = warp_losses(flows, blur)
    assert losses["warp_next_1_4"].item() == pytest.approx(1 / 16)
    assert losses["warp_next_1_64"].item() == pytest.approx(1 / 4096)
    assert losses["warp_previous_1_8"].item() == pytest.approx(0.25 / 64)
    assert len(losses) == 6
    assert warp_losses((), blur) == {}
