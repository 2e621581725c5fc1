import pytest
import torch

from deblurzoo.errors import DeblurzooError
from deblurzoo.nets import SVRNN, Liu2016
from deblurzoo.nets.base import build_network
from deblurzoo.nets.blocks import cascade
from deblurzoo.nets.svrnn import VARIANTS
from deblurzoo.ops.spatial_rnn import reference


def tiny(variant: str = "full", **arguments: object) -> SVRNN:
    torch.manual_seed(0)
    return SVRNN(variant, width=0.125, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_keeps_the_size_and_trains_every_parameter(variant: str) -> None:
    net = tiny(variant)
    image = net(torch.rand(2, 1, 3, 24, 40)).image
    assert image.shape == (2, 3, 24, 40)
    image.square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


def test_baseline_keeps_the_size_and_stays_in_0_to_1() -> None:
    image = Liu2016()(torch.rand(1, 1, 3, 16, 32)).image
    assert image.shape == (1, 3, 16, 32)
    assert image.min() > 0 and image.max() < 1


def test_cascade_filters_each_direction_along_itself() -> None:
    torch.manual_seed(0)
    h, w = torch.randn(1, 8, 5, 6), torch.rand(1, 8, 5, 6)
    for d, (quarter, result) in enumerate(zip(h.chunk(4, 1), cascade(h, w).chunk(4, 1), strict=True)):
        torch.testing.assert_close(result, reference.forward(quarter, w).chunk(4, 1)[d])


def test_disabled_rnns_are_the_identity() -> None:
    net, off = tiny().eval(), tiny(disable_rnn=True)
    image = torch.rand(1, 1, 3, 16, 16)
    assert torch.equal(net(image).image, off(image).image)  # ignored in training
    off.eval()
    assert not any(w.any() for w in off.rnn_weights(image[:, 0]))
    assert not torch.allclose(net(image).image, off(image).image)


def test_a_residual_network_starts_as_the_identity() -> None:
    image = torch.rand(1, 1, 3, 16, 16)
    for variant in VARIANTS:
        assert torch.equal(tiny(variant, residual=True)(image).image, image[:, 0])


def test_conv2_has_an_activation_only_on_demand() -> None:
    image = torch.rand(1, 3, 16, 16)
    linear, rectified = (tiny(conv2_act=act).features(image)[1] for act in (False, True))
    torch.testing.assert_close(rectified, torch.where(linear > 0, linear, 0.1 * linear))


def test_unknown_variant_is_refused() -> None:
    with pytest.raises(DeblurzooError, match=r"variant=half is invalid for SVRNN: Input should be 'full', 'no_skip',"):
        build_network(SVRNN, {"variant": "half"})
