import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from deblurzoo.errors import DeblurzooError
from deblurzoo.nets import SRN
from deblurzoo.nets.base import build_network
from deblurzoo.nets.conv_lstm import ConvLSTM


def tiny(**arguments: object) -> SRN:
    torch.manual_seed(0)
    return SRN(**{"kernel_size": 3, "blocks": 1, "width": 0.125, **arguments})  # type: ignore[arg-type]


VARIANTS: dict[str, dict[str, object]] = {
    "ss": {"scales": 1, "bottleneck": "conv"},
    "sc": {"shared": False, "bottleneck": "conv"},
    "wo_r": {"bottleneck": "conv"},
    "rnn": {"bottleneck": "rnn"},
    "sr_flat": {"body": "flat", "block": "plain", "bottleneck": "conv"},
    "sr_rb": {"body": "flat", "bottleneck": "conv"},
    "sr_ed": {"block": "plain"},
    "gray": {"channels": 1, "bottleneck": "none"},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_keeps_the_size_and_trains_every_parameter(name: str) -> None:
    net = tiny(**VARIANTS[name])
    restored = net(torch.rand(2, 1, 3, 16, 32))
    scales = (1,) if name == "ss" else (4, 2, 1)
    assert [tuple(p.shape) for p in restored.pyramid] == [(2, 3, 16 // s, 32 // s) for s in scales]
    torch.stack([p.square().mean() for p in restored.pyramid]).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())
    assert bool(net.recurrent_parameters()) == (name in ("rnn", "sr_ed"))


def test_there_are_43_layers_in_the_flat_networks() -> None:
    convolutions = [m for m in SRN(**VARIANTS["sr_flat"]).modules() if isinstance(m, torch.nn.Conv2d)]  # type: ignore[arg-type]
    assert len(convolutions) == 43


def test_gray_networks_restore_each_channel_on_its_own() -> None:
    net = tiny(**VARIANTS["gray"])
    blur = torch.rand(1, 1, 3, 16, 16)
    image = net(blur).image
    swapped = net(blur[:, :, [2, 0, 1]]).image
    torch.testing.assert_close(swapped, image[:, [2, 0, 1]])
    other = blur.clone()
    other[:, :, 0] = torch.rand(16, 16)
    torch.testing.assert_close(net(other).image[:, 1:], image[:, 1:])


def test_networks_without_memory_pass_the_image_alone() -> None:
    net = tiny(**VARIANTS["wo_r"])
    image = torch.rand(1, 3, 8, 8)
    assert net.at_scale[0](image, image, ())[1] == ()


def test_scales_have_their_own_weights_where_they_are_not_shared() -> None:
    net = tiny(**VARIANTS["sc"])
    net(torch.rand(1, 1, 3, 16, 16)).pyramid[0].sum().backward()
    used = [any(p.grad is not None for p in network.parameters()) for network in net.at_scale]
    assert used == [True, False, False]


@pytest.mark.parametrize("size", [(16, 16), (32, 80)])
def test_pyramid_goes_from_quarter_to_full_size(size: tuple[int, int]) -> None:
    h, w = size
    restored = tiny()(torch.rand(2, 1, 3, h, w))
    assert [tuple(p.shape) for p in restored.pyramid] == [(2, 3, h // s, w // s) for s in (4, 2, 1)]
    assert restored.image is restored.pyramid[-1]


def test_first_scale_sees_the_blurry_image_as_its_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    net, seen = tiny(), []
    at_scale = net.at_scale[0].forward

    def spy(blurry: Tensor, coarse: Tensor, state: object) -> object:
        seen.append((blurry, coarse, state))
        return at_scale(blurry, coarse, state)

    monkeypatch.setattr(net.at_scale[0], "forward", spy)
    blur = torch.rand(1, 1, 3, 32, 32)
    restored = net(blur)
    assert seen[0][2] == ()
    torch.testing.assert_close(seen[0][1], F.interpolate(blur[:, 0], (8, 8), mode="bilinear"))
    torch.testing.assert_close(seen[2][1], F.interpolate(restored.pyramid[1], (32, 32), mode="bilinear"))


def test_only_the_state_carries_gradients_between_scales() -> None:
    net = tiny()
    network = net.at_scale[0]
    blur = torch.rand(1, 1, 3, 32, 32)
    net(blur).image.sum().backward()
    through_state = network.bottleneck.gates.weight.grad.clone()

    net.zero_grad()
    restored = net(blur)
    # The same computation with detached predictions has equal gradients: none flow through predictions.
    coarse = restored.pyramid[1].detach()
    state: tuple[Tensor, ...] = ()
    for scale in (4, 2):
        h = 32 // scale
        if state:
            state = tuple(net.resize(s, (h // 4, h // 4)) for s in state)
        source = blur[:, 0] if scale == 4 else restored.pyramid[0].detach()
        _, state = network(net.resize(blur[:, 0], (h, h)), net.resize(source, (h, h)), state)
    state = tuple(net.resize(s, (8, 8)) for s in state)
    image, _ = network(blur[:, 0], net.resize(coarse, (32, 32)), state)
    torch.testing.assert_close(image, restored.image)
    net.zero_grad()
    image.sum().backward()
    torch.testing.assert_close(network.bottleneck.gates.weight.grad, through_state)
    detached = tuple(s.detach() for s in state)
    net.zero_grad()
    network(blur[:, 0], net.resize(coarse, (32, 32)), detached)[0].sum().backward()
    assert not torch.allclose(network.bottleneck.gates.weight.grad, through_state)


def test_conv_lstm_is_the_written_out_cell() -> None:
    torch.manual_seed(0)
    cell = ConvLSTM(2).double()
    x, c, h = torch.randn(3, 1, 2, 4, 5).double().unbind()
    gates = F.conv2d(torch.cat([x, h], 1), cell.gates.weight, cell.gates.bias, padding=1)
    i, j, f, o = gates[:, 0:2], gates[:, 2:4], gates[:, 4:6], gates[:, 6:8]
    expected_c = c * torch.sigmoid(f + 1) + torch.sigmoid(i) * torch.tanh(j)
    expected_h = torch.tanh(expected_c) * torch.sigmoid(o)
    output, (new_c, new_h) = cell(x, (c, h))
    torch.testing.assert_close(new_c, expected_c)
    torch.testing.assert_close(new_h, expected_h)
    assert output is new_h
    zeros = torch.zeros_like(x)
    torch.testing.assert_close(cell(x, ())[0], cell(x, (zeros, zeros))[0])


def test_tf1_resize_samples_without_half_pixel_offset() -> None:
    net = tiny(resize="tf1")
    x = torch.arange(6.0).reshape(1, 1, 1, 6).expand(1, 1, 4, 6)
    torch.testing.assert_close(net.resize(x, (2, 3))[0, 0, 0], torch.tensor([0.0, 2.0, 4.0]))
    up = net.resize(x, (8, 12))[0, 0, 0]
    torch.testing.assert_close(up, torch.tensor([0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5]))
    torch.testing.assert_close(net.resize(x, (4, 6)), x)


def test_residual_network_starts_as_the_identity() -> None:
    blur = torch.rand(1, 1, 3, 16, 16)
    torch.testing.assert_close(tiny(residual=True)(blur).image, blur[:, 0])
    assert not torch.allclose(tiny()(blur).image, blur[:, 0], atol=0.05)


def test_initialisation_is_xavier_and_near_zero_in_the_lstm() -> None:
    net = SRN()
    network = net.at_scale[0]
    assert network.bottleneck.gates.weight.std() < 1.0e-3
    weight = network.encoder2[0].weight  # type: ignore[union-attr]
    bound = (6 / (25 * (64 + 128))) ** 0.5
    assert bound * 0.99 < weight.abs().max() <= bound
    assert all(not p.any() for name, p in net.named_parameters() if name.endswith("bias"))


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="odd"):
        SRN(kernel_size=4)
    for wrong, allowed in (({"resize": "caffe"}, "'half_pixel' or 'tf1'"), ({"scales": 2}, "1 or 3")):
        with pytest.raises(DeblurzooError, match=f"is invalid for SRN: Input should be {allowed}"):
            build_network(SRN, wrong)
