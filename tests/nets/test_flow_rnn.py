import pytest
import torch

from deblurzoo.errors import DeblurzooError
from deblurzoo.nets import FlowRNN
from deblurzoo.nets.base import build_network
from deblurzoo.nets.flow_rnn import VARIANTS
from deblurzoo.training.flow_rnn import FlowRNNDeblur

FRAMES = {"no_rnns": 1, "no_flow": 1, "two_directions": 3}


def tiny(variant: str = "full", **arguments: object) -> FlowRNN:
    torch.manual_seed(0)
    return FlowRNN(variant, width=0.125, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_reads_its_frames_and_trains_every_parameter(variant: str) -> None:
    net = tiny(variant)
    assert (net.frames, net.size_multiple) == (FRAMES.get(variant, 2), 64)
    restored = net(torch.rand(2, net.frames, 3, 64, 128))
    assert restored.image.shape == (2, 3, 64, 128)
    terms = [restored.image, *restored.flows]
    torch.stack([term.square().mean() for term in terms]).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    assert sum(not p.grad.any() for p in net.parameters() if p.grad is not None) == 0


@pytest.mark.parametrize(("variant", "channels"), [("full", 2), ("two_directions", 4)])
def test_shapes_of_flows_and_weights(variant: str, channels: int) -> None:
    net = FlowRNN(variant)  # type: ignore[arg-type]
    with torch.no_grad():
        flows, weights = net.flow_net(torch.rand(1, 3 * net.frames, 128, 192))
        restored = net(torch.rand(1, net.frames, 3, 128, 192))
    sizes = [(128 // s, 192 // s) for s in (4, 8, 16, 32, 64)]
    assert [tuple(flow.shape) for flow in flows] == [(1, channels, *size) for size in sizes]
    assert [tuple(flow.shape) for flow in restored.flows] == [tuple(flow.shape) for flow in flows]
    assert [tuple(w.shape) for w in weights] == [(1, 96, 64, 96), (1, 192, 32, 48), (1, 384, 16, 24)]
    assert all(w.abs().max() < 1 for w in weights)


def test_no_flow_and_no_rnns_have_no_flows() -> None:
    for variant in ("no_flow", "no_rnns"):
        assert tiny(variant)(torch.rand(1, 1, 3, 64, 64)).flows == ()
    assert [v for v in VARIANTS if tiny(v).learns_flow] == ["full", "concat_weights", "two_directions", "rnn_decoder"]


def test_padded_odd_sizes_come_back() -> None:
    blur = torch.rand(1, 2, 3, 333, 517)
    module = FlowRNNDeblur({"width": 0.125}, {"lr": 1e-4}, {"steps": 10, "power": 2.0})
    with torch.no_grad():
        assert module.restore(blur).shape == (1, 3, 333, 517)


def test_same_frame_gives_the_flow_network_the_frame_twice() -> None:
    blur = torch.rand(1, 2, 3, 64, 64)
    twice = blur[:, :1].expand_as(blur)
    switched = tiny(same_frame=True)
    assert torch.equal(switched(blur).image, tiny()(blur).image)  # ignored in training
    assert torch.equal(switched.eval()(blur).image, tiny()(twice).image)
    assert not torch.equal(switched(blur).image, tiny()(blur).image)


def test_neighbours_reach_the_image_only_through_the_flow_network() -> None:
    blur, other = torch.rand(1, 2, 3, 64, 64), torch.rand(1, 3, 64, 64)
    changed = torch.stack([blur[:, 0], other], dim=1)
    assert not torch.equal(tiny()(blur).image, tiny()(changed).image)


def test_a_residual_network_starts_as_the_identity() -> None:
    blur = torch.rand(1, 2, 3, 64, 64)
    assert torch.equal(tiny(residual=True)(blur).image, blur[:, 0])


def test_unknown_variant_is_refused() -> None:
    with pytest.raises(DeblurzooError, match=r"variant=no_skip is invalid for FlowRNN: Input should be 'full',"):
        build_network(FlowRNN, {"variant": "no_skip"})
