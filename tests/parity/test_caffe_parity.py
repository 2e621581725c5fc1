"""SVRNN, FlowRNN and the network of Liu et al. compute the same images as the authors' prototxts with equal weights."""

from collections.abc import Callable
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from deblurzoo.nets import SVRNN, FlowRNN, Liu2016
from deblurzoo.nets.base import restore_any_size
from parity.weights import (
    READS_MERGED,
    State,
    built,
    corner,
    exchange_flow,
    expected,
    flow_rnn,
    liu2016,
    reorder,
    svrnn,
)

Change = Callable[[State], object]
DTYPES = (torch.float32, torch.float64)
OPPOSITE, OTHER_AXIS = (1, 0, 3, 2), (2, 3, 0, 1)
"""Wrong orders of [LR, RL, TB, BT]: with exchanged directions of an axis, and with exchanged axes."""
SAMPLED = (..., slice(1, None, 4), slice(2, None, 4))
"""The recorded rows and columns of recurrent weights."""


def changed(state: State, change: Change) -> State:
    """Return a copy of weights after a change."""
    copy = {name: tensor.clone() for name, tensor in state.items()}
    change(copy)
    return copy


def transposed(layer: str) -> Change:
    """Return the change that exchanges rows and columns of a layer's kernels."""
    return lambda state: state.update({f"{layer}.weight": state[f"{layer}.weight"].mT.contiguous()})


def bgr(first: str, last: str) -> Change:
    """Return the change of the first and the last layer after which a network reads and writes BGR."""

    def change(state: State) -> None:
        reorder(state, first, "inputs", (2, 1, 0), 0, 3)
        reorder(state, last, "outputs", (2, 1, 0))

    return change


class TestSVRNN:
    """Weights by the formula, output 64x96."""

    TOLERANCES: ClassVar = {torch.float32: 2e-4, torch.float64: 1e-6}
    LIMIT = 10 * TOLERANCES[torch.float32]

    @staticmethod
    @torch.no_grad()
    def difference(net: SVRNN, dtype: torch.dtype = torch.float32) -> Tensor:
        image, output = expected("svrnn_input", "svrnn_output")
        return (corner(net.to(dtype)(image[None, None].to(dtype)).image[0], output) - output).abs()

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_images_and_recurrent_weights_are_the_authors(self, dtype: torch.dtype) -> None:
        net = built(SVRNN, svrnn(), resize="caffe").to(dtype)
        assert self.difference(net, dtype).max() < self.TOLERANCES[dtype]
        image, maps = expected("svrnn_input", "svrnn_weights")
        with torch.no_grad():
            found = torch.cat(net.rnn_weights(image[None].to(dtype)))[SAMPLED]
        torch.testing.assert_close(corner(found, maps), maps.to(dtype), rtol=0, atol=self.TOLERANCES[dtype])

    @pytest.mark.parametrize("arguments", [{"resize": "half_pixel"}, {"resize": "caffe", "conv2_act": True}])
    def test_other_layers_exceed_the_tolerance(self, arguments: dict[str, object]) -> None:
        assert self.difference(built(SVRNN, svrnn(), **arguments)).mean() > self.LIMIT

    MISTAKES: ClassVar[dict[str, Change]] = {
        **{f"{name} transposed": transposed(name) for name in ("conv1", "conv22", "weight_generation.conv11")},
        "BGR": lambda state: (
            bgr("conv1", "conv22")(state),
            reorder(state, "weight_generation.conv3", "inputs", (2, 1, 0)),
        ),
        "weights, directions": lambda state: [reorder(state, "conv16", "outputs", OPPOSITE, 128 * r, 128)
                                              for r in range(4)],
        "weights, axes": lambda state: [reorder(state, "conv16", "outputs", OTHER_AXIS, 128 * r, 128)
                                        for r in range(4)],
        "results, directions": lambda state: [reorder(state, f"between.conv{n}", "inputs", OPPOSITE)
                                              for n in range(17, 21)],
        "results, axes": lambda state: [reorder(state, f"between.conv{n}", "inputs", OTHER_AXIS)
                                        for n in range(17, 21)],
    }  # fmt: skip

    @pytest.mark.parametrize("mistake", MISTAKES)
    def test_wrong_mappings_exceed_the_tolerance(self, mistake: str) -> None:
        state = changed(svrnn(), self.MISTAKES[mistake])
        assert self.difference(built(SVRNN, state, resize="caffe")).mean() > self.LIMIT


class TestFlowRNN:
    """Weights by the formula, two frames."""

    TOLERANCES: ClassVar = {torch.float32: 5e-5, torch.float64: 1e-6}
    LIMIT = 10 * TOLERANCES[torch.float32]

    @staticmethod
    @torch.no_grad()
    def difference(net: FlowRNN, dtype: torch.dtype = torch.float32) -> Tensor:
        frames, output = expected("flow_rnn_input_128x128", "flow_rnn_output_128x128")
        return (corner(net.to(dtype)(frames[None].to(dtype)).image[0], output) - output).abs()

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_images_flows_and_recurrent_weights_are_the_authors(self, dtype: torch.dtype) -> None:
        net = built(FlowRNN, flow_rnn(), fill="zeros").to(dtype)
        assert self.difference(net, dtype).max() < self.TOLERANCES[dtype]
        (frames,) = expected("flow_rnn_input_128x128")
        with torch.no_grad():
            flows, weights = net.flow_net(frames.flatten(0, 1)[None].to(dtype))
        maps = [*flows, *(w[SAMPLED] for w in weights)]
        names = [*(f"flow{n}" for n in range(2, 7)), *(f"weights{n}" for n in range(1, 4))]
        for found, authors in zip(maps, expected(*(f"flow_rnn_{name}" for name in names)), strict=True):
            torch.testing.assert_close(
                corner(found[0], authors), authors.to(dtype), rtol=0, atol=self.TOLERANCES[dtype]
            )

    @staticmethod
    def outside_difference(size: str, fill: str, landscape: bool) -> Tensor:
        """Return the differences for frames of other sizes or orientations than multiples of 64 in landscape."""
        frames, output = expected(f"flow_rnn_input_{size}", f"flow_rnn_output_{size}")
        net = built(FlowRNN, flow_rnn(), fill=fill)
        with torch.no_grad():
            image = restore_any_size(net, (frames.mT if landscape else frames)[None])[0]
        return (corner(image.mT if landscape else image, output) - output).abs()

    @pytest.mark.parametrize(("size", "landscape"), [("112x128", False), ("192x128", True)])
    def test_other_heights_and_transposed_portraits_are_the_authors(self, size: str, landscape: bool) -> None:
        assert self.outside_difference(size, "zeros", landscape).max() < self.TOLERANCES[torch.float32]

    @pytest.mark.parametrize(("size", "fill"), [("112x128", "replicate"), ("192x128", "zeros")])
    def test_replicated_rows_and_portraits_as_they_are_exceed_the_tolerance(self, size: str, fill: str) -> None:
        assert self.outside_difference(size, fill, landscape=False).mean() > self.LIMIT

    @staticmethod
    def exchanged_frames(state: State) -> None:
        reorder(state, "flow_net.conv1", "inputs", (1, 0))

    @staticmethod
    def bgr(state: State) -> None:
        bgr("d_conv1", "d_conv0")(state)
        for start in (0, 3):
            reorder(state, "flow_net.conv1", "inputs", (2, 1, 0), start, 3)
        reorder(state, "d_conv0", "inputs", (2, 1, 0), 0, 3)

    MISTAKES: ClassVar[dict[str, Change]] = {
        "frames": exchanged_frames,
        "BGR": bgr,
        "flows": lambda state: [reorder(state, f"flow_net.flow{n}", "outputs", (1, 0)) for n in range(2, 7)],
        **{f"{name} transposed": transposed(name) for name in ("d_deconv3", "d_deconv1", "flow_net.up4to3")},
        **{f"weights {n}, directions": lambda state, n=n: reorder(state, f"flow_net.rnnw{n}", "outputs", OPPOSITE)
           for n in (1, 3)},
        **{f"weights {n}, axes": lambda state, n=n: reorder(state, f"flow_net.rnnw{n}", "outputs", OTHER_AXIS)
           for n in (1, 3)},
        **{f"results, {name}": lambda state, name=name: reorder(state, name, "inputs", OTHER_AXIS, 0,
                                                               READS_MERGED[name])
           for name in ("d_conv3", "d_deconv2")},
        **{f"flow at the end, {name}": lambda state, name=name: exchange_flow(state, name)
           for name in ("rnnw1", "rnnw2", "rnnw3", "deconv3", "flow3")},
    }  # fmt: skip

    @pytest.mark.parametrize("mistake", MISTAKES)
    def test_wrong_mappings_exceed_the_tolerance(self, mistake: str) -> None:
        state = changed(flow_rnn(), self.MISTAKES[mistake])
        assert self.difference(built(FlowRNN, state)).mean() > self.LIMIT


class TestLiu2016:
    """Trained weights, as published."""

    TOLERANCE = 1e-4
    """For weights of R, G and B in the gray image with four digits."""

    @staticmethod
    @torch.no_grad()
    def difference(net: Liu2016) -> Tensor:
        image, output = expected("liu2016_input", "liu2016_output")
        return (corner(net(image[None, None]).image[0], output) - output).abs()

    def test_images_are_the_authors(self) -> None:
        assert self.difference(built(Liu2016, liu2016(), resize="caffe")).max() < self.TOLERANCE

    def test_half_pixel_resizing_exceeds_the_tolerance(self) -> None:
        assert self.difference(built(Liu2016, liu2016())).mean() > 10 * self.TOLERANCE

    MISTAKES: ClassVar[dict[str, Change]] = {
        "transposed": lambda state: [transposed(name.removesuffix(".weight"))(state) for name in [*state]
                                     if name.endswith(".weight")],
        "axes": lambda state: reorder(state, "conv9", "outputs", (1, 0, 3, 2)),
        "BGR": bgr("conv0", "conv11"),
    }  # fmt: skip

    @pytest.mark.parametrize("mistake", MISTAKES)
    def test_wrong_mappings_exceed_the_tolerance(self, mistake: str) -> None:
        state = changed(liu2016(), self.MISTAKES[mistake])
        assert self.difference(built(Liu2016, state, resize="caffe")).mean() > 10 * self.TOLERANCE
