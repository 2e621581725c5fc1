from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from deblurzoo.errors import DeblurzooError
from deblurzoo.nets import NAFNet
from deblurzoo.nets.base import build_network
from deblurzoo.nets.nafnet import Pool


def tiny(tlc: int | None = None) -> NAFNet:
    """Return a network of two levels; its blocks are not the identity, as they are before training."""
    torch.manual_seed(0)
    net = NAFNet(4, (1, 2), 1, (1, 1), tlc)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith(("beta", "gamma")):
                parameter.uniform_(-1, 1)
    return net


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        ({"width": 32}, 17_111_907),
        ({"width": 64}, 67_888_835),
        ({"width": 16, "encoder_blocks": (1, 1, 8), "decoder_blocks": (1, 1, 1)}, 504_179),
    ],
)
def test_the_parameters_are_the_papers(arguments: dict[str, Any], parameters: int) -> None:
    with torch.device("meta"):
        net = NAFNet(**arguments)
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_the_size_is_kept_and_every_parameter_trained() -> None:
    net = tiny()
    image = net(torch.rand(2, 1, 3, 12, 20)).image
    assert net.size_multiple == 4 and image.shape == (2, 3, 12, 20)
    image.square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


def test_blocks_start_as_the_identity() -> None:
    net, x = NAFNet(4, (1,), 1, (1,)), torch.rand(1, 4, 6, 8)
    assert torch.equal(net.encoders[0](x), x)


def test_layer_norm_is_over_the_channels_of_a_pixel() -> None:
    norm = tiny().encoders[0][0].norm1  # type: ignore[index]
    x = 3 + 2 * torch.randn(2, 4, 5, 6)
    expected = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, unbiased=False) + 1e-6).sqrt()
    torch.testing.assert_close(norm(x), expected)


def windows(x: Tensor, window: int) -> Tensor:
    """Return the averages over all windows inside the image, padded by replication: the definition of TLC."""
    sides = [min(window, size) for size in x.shape[-2:]]
    before, after = zip(*(((side - 1) // 2, side // 2) for side in sides), strict=True)
    return F.pad(F.avg_pool2d(x, sides, stride=1), (before[1], after[1], before[0], after[0]), mode="replicate")


@pytest.mark.parametrize("window", [1, 2, 7, 8, 12])
def test_local_statistics_are_averages_over_windows_inside_the_image(window: int) -> None:
    x, pool = torch.rand(2, 3, 9, 14), Pool(scale=1).eval()
    pool.window = window
    torch.testing.assert_close(pool(x), windows(x, window))


def test_local_statistics_are_global_where_the_window_covers_the_image_and_in_training() -> None:
    image = torch.rand(1, 1, 3, 24, 32)
    whole, local, covering = tiny().eval(), tiny(tlc=16).eval(), tiny(tlc=32).eval()
    assert torch.equal(whole(image).image, covering(image).image)
    assert not torch.allclose(whole(image).image, local(image).image)
    assert torch.equal(whole.train()(image).image, local.train()(image).image)


def test_every_level_has_the_window_in_pixels_of_the_image() -> None:
    found = {name: m.window for name, m in tiny(tlc=16).named_modules() if isinstance(m, Pool)}
    assert found["encoders.0.0.sca.0"] == found["decoders.1.0.sca.0"] == 16
    assert found["encoders.1.1.sca.0"] == 8 and found["middle_blks.0.sca.0"] == 4


def test_bfloat16_stays_close_and_compiling_needs_no_branch() -> None:
    net, image = tiny(tlc=16).eval(), torch.rand(1, 1, 3, 24, 40)
    with torch.no_grad():
        expected = net(image).image
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(net(image).image, expected, atol=0.02, rtol=0.02)
        compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(image).image, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoder_blocks": [1, 1], "decoder_blocks": [1]}, r"\(1, 1\) and decoder_blocks=\(1,\) must have equal"),
        ({"encoder_blocks": [], "decoder_blocks": []}, "must have equal lengths"),
        ({"width": 0}, "width=0 must be above 0"),
        ({"middle_blocks": -1}, "must not be negative"),
        ({"width": 0.5}, r"model\.net\.width=0\.5 is invalid for NAFNet: Input should be a valid integer"),
        ({"tlc": 8}, "tlc=8 must be at least 16"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DeblurzooError, match=message):
        build_network(NAFNet, arguments)
