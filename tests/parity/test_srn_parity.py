"""SRN-DeblurNet computes the same images as the authors' TensorFlow graph with the same weights."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from deblurzoo.nets import SRN
from deblurzoo.nets.base import restore_any_size
from parity.weights import State, built, corner, expected, srn

TOLERANCE = 1e-4
RELEASED: dict[str, dict[str, Any]] = {
    "color": {"channels": 3, "bottleneck": "none"},
    "gray": {"channels": 1, "bottleneck": "none"},
    "lstm": {"channels": 1, "bottleneck": "conv_lstm"},
}
GATES = "at_scale.0.bottleneck.gates"


def network(name: str, change: Callable[[State], None] = lambda state: None, **arguments: Any) -> SRN:
    """Return a released network with the weights of the formula, after a change of these weights."""
    arguments = {"padding": "same", "resize": "tf1", **RELEASED[name], **arguments}
    state = {key: tensor.clone() for key, tensor in srn(arguments["channels"], name == "lstm").items()}
    change(state)
    return built(SRN, state, **arguments)


@torch.no_grad()
def difference(net: SRN, name: str) -> Tensor:
    """Return the absolute differences between the restored image and the image of the authors' graph."""
    image, full = expected("srn_input_64x96", f"srn_{name}_full")
    return (corner(net(image[None, None]).image[0], full) - full).abs()


def png(net: SRN, image: Tensor) -> Tensor:
    """Return the values of the PNG that the authors' script writes: a portrait is transposed, values rounded down."""
    portrait = image.shape[-2] > image.shape[-1]
    with torch.no_grad():
        restored = restore_any_size(net, (image.mT if portrait else image)[None, None])[0].clamp(0, 1)
    return ((restored.mT if portrait else restored) * 255).floor()


@pytest.mark.parametrize("name", RELEASED)
def test_every_scale_is_the_authors(name: str) -> None:
    image, *scales = expected("srn_input_64x96", *(f"srn_{name}_{scale}" for scale in ("quarter", "half", "full")))
    with torch.no_grad():
        pyramid = network(name)(image[None, None]).pyramid
    for found, authors in zip(pyramid, scales, strict=True):
        torch.testing.assert_close(corner(found[0], authors), authors, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", RELEASED)
@pytest.mark.parametrize("size", ["75x110", "110x75"])
def test_saved_images_are_the_authors(name: str, size: str) -> None:
    image, authors = expected(f"srn_input_{size}", f"srn_{name}_{size}_png")
    levels = (png(network(name), image) - 255 * authors).round().abs()
    assert levels.max() <= 1 and levels.gt(0).float().mean() <= 0.001


def _input_order(state: State) -> None:
    weight = state["at_scale.0.in_block.0.weight"]
    weight.copy_(torch.cat(weight.chunk(2, dim=1)[::-1], dim=1))


def _bgr(state: State) -> None:
    for name, axis in (("in_block.0", 1), ("out_block.3", 0)):
        weight = state[f"at_scale.0.{name}.weight"]
        weight.copy_(torch.cat([part.flip(axis) for part in weight.split(3, dim=axis)], dim=axis))
    state["at_scale.0.out_block.3.bias"].copy_(state["at_scale.0.out_block.3.bias"].flip(0))


def _gates(order: str) -> Callable[[State], None]:
    def change(state: State) -> None:
        for kind in ("weight", "bias"):
            parts = dict(zip("ijfo", state[f"{GATES}.{kind}"].chunk(4), strict=True))
            state[f"{GATES}.{kind}"] = torch.cat([parts[gate] for gate in order])

    return change


def _no_forget_bias(state: State) -> None:
    state[f"{GATES}.bias"].chunk(4)[2].sub_(1)


def _transposed(name: str) -> Callable[[State], None]:
    return lambda state: state.update({name: state[name].mT.contiguous()})


MISTAKES: dict[str, Callable[[str], SRN]] = {
    "symmetric padding": lambda name: network(name, padding="symmetric"),
    "half-pixel resizing": lambda name: network(name, resize="half_pixel"),
    "prediction before blurry image": lambda name: network(name, _input_order),
    "one kernel transposed": lambda name: network(name, _transposed("at_scale.0.encoder2.4.body.2.weight")),
}
LSTM_MISTAKES = {
    "i f j o": _gates("ifjo"),
    "i j o f": _gates("ijof"),
    "no constant 1": _no_forget_bias,
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("name", RELEASED)
def test_known_mistakes_exceed_the_tolerance(name: str, mistake: str) -> None:
    assert difference(MISTAKES[mistake](name), name).mean() > 10 * TOLERANCE


@pytest.mark.parametrize("layer", ["encoder1", "encoder2"])
@pytest.mark.parametrize("name", RELEASED)
def test_symmetric_padding_of_one_layer_exceeds_the_tolerance(name: str, layer: str) -> None:
    net, other = network(name), network(name, padding="symmetric")
    net.at_scale[0].get_submodule(layer)[0] = other.at_scale[0].get_submodule(layer)[0]  # type: ignore[index,operator]
    assert difference(net, name).mean() > 10 * TOLERANCE


@pytest.mark.parametrize("mistake", LSTM_MISTAKES)
def test_mistakes_in_the_lstm_exceed_the_tolerance(mistake: str) -> None:
    assert difference(network("lstm", LSTM_MISTAKES[mistake]), "lstm").mean() > 10 * TOLERANCE


def test_bgr_exceeds_the_tolerance() -> None:
    assert difference(network("color", _bgr), "color").mean() > 10 * TOLERANCE
