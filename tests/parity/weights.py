"""Artificial weights of the authors' networks by a formula, in the layout of the authors' files and in ours.

`expected.npz` contains the results of the authors' graphs with these weights: SRN's TensorFlow graph, and the Caffe
networks of SVRNN, FlowRNN and Liu et al., evaluated in float64 by an interpreter of their prototxts. The crops are the
bottom right corners.
"""

from collections.abc import Sequence
from functools import cache
from math import prod, sqrt
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import torch
from scipy.io import loadmat
from torch import Tensor

from deblurzoo.nets.base import DeblurNet

N = TypeVar("N", bound=DeblurNet)
State = dict[str, Tensor]
PERIOD = 4093
"""A prime number: no two outputs, inputs or kernel positions of a layer have the same weights."""
PATTERN = (2 * np.floor(32 * np.random.RandomState(0).standard_normal(PERIOD)) + 3) / 64
EXPECTED = Path(__file__).with_name("expected.npz")
TRAINED = Path(__file__).with_name("liu2016") / "LRNN_solver4L0.mat"
"""Weights published in github.com/Liusifei/caffe-lowlevel (licence: `LICENSE` in the same folder)."""


def expected(*names: str) -> list[Tensor]:
    """Return recorded arrays as tensors. Images are float32 (…, 3, H, W) in [0, 1]."""
    with np.load(EXPECTED) as arrays:
        found = [torch.from_numpy(arrays[name]) for name in names]
    return [array.movedim(-1, -3) / 255 if array.dtype == torch.uint8 else array for array in found]


def corner(image: Tensor, crop: Tensor) -> Tensor:
    """Return the bottom right corner of an image, of the size of a recorded crop."""
    return image[..., -crop.shape[-2] :, -crop.shape[-1] :]


def built(kind: type[N], state: State, **arguments: object) -> N:
    """Return a network for inference that has the given weights."""
    with torch.device("meta"):
        net = kind(**arguments)
    net.load_state_dict(state, assign=True)
    return net.eval()


def formula(n: int, shape: Sequence[int], scale: float, shift: float = 0.0) -> Tensor:
    """Return tensor number `n` of an authors' file."""
    k = np.arange(prod(shape), dtype=np.int64)
    index = (k % PERIOD * (1 + 37 * n % (PERIOD - 1)) + 613 * n % PERIOD) % PERIOD
    return torch.from_numpy((shift + scale * PATTERN[index]).astype(np.float32).reshape(shape))


# SRN-DeblurNet: layers in the order of the graph.


@cache
def srn(channels: int, lstm: bool) -> State:
    """Return the weights of SRN-DeblurNet. TensorFlow's kernels are (rows, columns, inputs, outputs)."""
    state: State = {}

    def add(name: str, size: int, inputs: int, outputs: int, gain: float, shift: float = 0.0) -> None:
        n, deconv = len(state), size == 4
        shape = (size, size, outputs, inputs) if deconv else (size, size, inputs, outputs)
        weight = formula(n, shape, gain / sqrt((4 if deconv else size**2) * inputs))
        state[f"at_scale.0.{name}.weight"] = weight.permute(3, 2, 0, 1).contiguous()
        state[f"at_scale.0.{name}.bias"] = formula(n + 1, (outputs,), 0.05, shift)

    def pairs(stage: str, first: int, width: int) -> None:
        for number in range(first, first + 3):
            add(f"{stage}.{number}.body.0", 5, width, width, 1.4)
            add(f"{stage}.{number}.body.2", 5, width, width, 0.5)

    inputs = 2 * channels
    for stage, width in (("in_block", 32), ("encoder1", 64), ("encoder2", 128)):
        add(f"{stage}.0", 5, inputs, width, 1.4)
        pairs(stage, 2, width)
        inputs = width
    if lstm:
        add("bottleneck.gates", 3, 256, 512, 4)
    for stage, width in (("decoder2", 128), ("decoder1", 64)):
        pairs(stage, 0, width)
        add(f"{stage}.3", 4, width, width // 2, 1)
    pairs("out_block", 0, 32)
    gain, shift = (0.6, 0.2) if lstm else (0.15, 0.5 if channels == 3 else -0.2)
    add("out_block.3", 5, 32, channels, gain, shift)
    return state


# SVRNN and FlowRNN: (our layer, inputs, outputs, kernel size, gain) in the order of the authors' files.
# Kernels of size 4 are transposed convolutions. A number is a count of unused tensors of recurrent layers.
Layers = Sequence[tuple[str, int, int, int, float] | int]
SVRNN: Layers = [
    ("conv1", 3, 16, 11, 1.4),
    ("conv2", 16, 32, 7, 1.4),
    *(
        (f"weight_generation.conv{number}", inputs, outputs, 3, 1.4)
        for number, (inputs, outputs) in enumerate(
            [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 512), (512, 512),
             (512, 256), (512, 128), (128, 128), (256, 256)], start=3)
    ),
    ("conv16", 256, 512, 3, 4),
    12,
    ("between.conv17", 128, 32, 3, 1.2),
    12,
    ("between.conv18", 128, 32, 3, 1.2),
    12,
    ("between.conv19", 128, 32, 3, 1.2),
    12,
    ("between.conv20", 128, 32, 3, 1.2),
    ("conv21", 64, 16, 9, 1.4),
    ("conv22", 32, 3, 5, 2),
]  # fmt: skip
FLOW_RNN: Layers = [
    ("flow_net.conv1", 6, 24, 7, 1.4),
    ("flow_net.conv2", 24, 48, 5, 1.4),
    ("flow_net.conv3", 48, 96, 5, 1.4),
    ("flow_net.conv3_1", 96, 96, 3, 1.4),
    ("flow_net.conv4", 96, 192, 3, 1.4),
    ("flow_net.conv4_1", 192, 192, 3, 1.4),
    ("flow_net.conv5", 192, 192, 3, 1.4),
    ("flow_net.conv5_1", 192, 192, 3, 1.4),
    ("flow_net.conv6", 192, 384, 3, 1.4),
    ("flow_net.conv6_1", 384, 384, 3, 1.4),
    ("flow_net.flow6", 384, 2, 3, 8),
    ("flow_net.deconv6", 384, 192, 4, 1.4),
    ("flow_net.up6to5", 2, 2, 4, 0.8),
    ("flow_net.flow5", 386, 2, 3, 4),
    ("flow_net.deconv5", 386, 96, 4, 1.4),
    ("flow_net.up5to4", 2, 2, 4, 0.8),
    ("flow_net.flow4", 290, 2, 3, 3),
    ("flow_net.deconv4", 290, 48, 4, 1.4),
    ("flow_net.up4to3", 2, 2, 4, 0.8),
    ("flow_net.flow3", 146, 2, 3, 2),
    ("flow_net.deconv3", 146, 24, 4, 1.4),
    ("flow_net.up3to2", 2, 2, 4, 0.8),
    ("flow_net.flow2", 74, 2, 3, 2),
    ("flow_net.deconv2", 74, 12, 4, 1.4),
    ("flow_net.up2to1", 2, 2, 4, 0.8),
    ("flow_net.rnnw3", 146, 384, 3, 2.8),
    ("flow_net.rnnw2", 74, 192, 3, 2.4),
    ("flow_net.rnnw1", 38, 96, 3, 2.4),
    ("d_conv1", 3, 24, 5, 1.4),
    12,
    ("d_conv2", 96, 48, 5, 1.4),
    12,
    ("d_conv3", 192, 96, 5, 1.4),
    12,
    ("d_conv3_2", 384, 96, 5, 1.4),
    ("d_conv3_3", 96, 48, 5, 1.4),
    ("d_deconv3", 432, 48, 4, 1.4),
    ("d_deconv3_1", 48, 48, 5, 1.4),
    ("d_deconv2", 240, 24, 4, 1.4),
    ("d_deconv2_1", 24, 24, 5, 1.4),
    ("d_deconv1", 120, 12, 4, 1.4),
    ("d_deconv1_1", 12, 12, 5, 1.4),
    ("d_conv0", 15, 3, 5, 1),
]


def caffe(layers: Layers) -> State:
    """Return the weights of a Caffe file under our names, with Caffe's axes and Caffe's order of directions."""
    state: State = {}
    n = 0
    for layer in layers:
        if isinstance(layer, int):
            n += layer
            continue
        name, inputs, outputs, size, gain = layer
        deconv = size == 4
        shape = (inputs, outputs, size, size) if deconv else (outputs, inputs, size, size)
        state[f"{name}.weight"] = formula(n, shape, gain / sqrt((4 if deconv else size**2) * inputs))
        state[f"{name}.bias"] = formula(n + 1, (outputs,), 0.05)
        n += 2
    return state


PREDICTED, MERGED = (1, 3, 0, 2), (2, 3, 0, 1)
"""Our order [LR, RL, TB, BT] of four directions, as indices of Caffe's orders.

Recurrent weights are predicted in the order [TB, LR, BT, RL]. Results are concatenated in the order [TB, BT, LR, RL].
"""


def reorder(
    state: State, name: str, side: Literal["inputs", "outputs"], order: Sequence[int], start: int = 0, count: int = 0
) -> None:
    """Reorder equal blocks of `count` inputs or outputs of a layer, from number `start` on; by default of all."""
    weight = state[f"{name}.weight"]
    deconv = weight.shape[-1] == 4
    axis = int(deconv == (side == "outputs"))
    parts = [(weight, axis), (state[f"{name}.bias"], 0)] if side == "outputs" else [(weight, axis)]
    for tensor, dim in parts:
        part = tensor.narrow(dim, start, count or tensor.shape[dim])
        part.copy_(torch.cat([part.chunk(len(order), dim)[block] for block in order], dim))


def transpose(state: State) -> None:
    """Exchange rows and columns of all kernels: Caffe's width is the vertical axis of images read by MATLAB."""
    state.update({name: tensor.mT.contiguous() for name, tensor in state.items() if tensor.ndim == 4})


@cache
def svrnn() -> State:
    """Return the weights of SVRNN-Deblur."""
    state = caffe(SVRNN)
    transpose(state)
    for rnn in range(4):
        reorder(state, "conv16", "outputs", PREDICTED, 128 * rnn, 128)
        reorder(state, f"between.conv{17 + rnn}", "inputs", MERGED)
    return state


READS_MERGED = {"d_conv2": 96, "d_conv3": 192, "d_conv3_2": 384, "d_deconv3": 384, "d_deconv2": 192, "d_deconv1": 96}
"""Layers that read concatenated results of four directions, and the number of these inputs."""
READS_FLOW = ("flow2", "flow3", "flow4", "flow5", "deconv2", "deconv3", "deconv4", "deconv5", "rnnw1", "rnnw2", "rnnw3")
"""Layers of the flow network whose last two inputs are an enlarged flow."""


@cache
def flow_rnn() -> State:
    """Return the weights of FlowRNN."""
    state = caffe(FLOW_RNN)
    transpose(state)
    for n in (1, 2, 3):
        reorder(state, f"flow_net.rnnw{n}", "outputs", PREDICTED)
    for name, count in READS_MERGED.items():
        reorder(state, name, "inputs", MERGED, 0, count)
    for n in (2, 3, 4, 5, 6):  # (vertical, horizontal) to (horizontal, vertical)
        reorder(state, f"flow_net.flow{n}", "outputs", (1, 0))
        reorder(state, f"flow_net.up{n}to{n - 1}", "outputs", (1, 0))
        reorder(state, f"flow_net.up{n}to{n - 1}", "inputs", (1, 0))
    for name in READS_FLOW:
        exchange_flow(state, name)
    return state


def exchange_flow(state: State, name: str) -> None:
    """Exchange the last two inputs of a layer of the flow network."""
    weight = state[f"flow_net.{name}.weight"]
    inputs = weight.shape[0 if name.startswith("deconv") else 1]
    reorder(state, f"flow_net.{name}", "inputs", (1, 0), inputs - 2, 2)


def liu2016() -> State:
    """Return the trained weights of Liu et al.; MATLAB's first axis is the rows."""
    solver = loadmat(TRAINED, squeeze_me=True, struct_as_record=False)["Solver"]
    state: State = {}
    for layer in np.atleast_1d(solver.model):
        if layer.layer_names.startswith("conv"):
            weight, bias = (torch.from_numpy(np.asarray(array, np.float32)) for array in layer.weights)
            state[f"{layer.layer_names}.weight"] = weight.permute(3, 2, 0, 1).contiguous()
            state[f"{layer.layer_names}.bias"] = bias.flatten()
    reorder(state, "conv9", "outputs", (1, 0, 3, 2))
    return state
