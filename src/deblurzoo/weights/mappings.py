"""Names, axes and channel orders of the authors' weight files, one function per network."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Tensors = Mapping[str, Array]
Order = Callable[[int], npt.NDArray[np.intp]]
"""Maps a number of channels to the file's channel for each channel of the network."""
Layout = Literal["columns", "rows"]
"""Order in which a network trained by Caffe has read the pixels of an image. In `columns`, the order of MATLAB, Caffe's
width axis is the vertical axis of the image."""

MOST_BLOCKS = 200
"""Largest number of NAFNet's blocks. The published networks have 36, and building a block takes milliseconds."""


@dataclass(frozen=True)
class Layer:
    """A convolution of the network, and the channel orders of its inputs and outputs in the file."""

    name: str
    inputs: Order = np.arange
    outputs: Order = np.arange


@dataclass(frozen=True)
class Target:
    """The network for a file: its name in `extensions`, its arguments, and the tensors' places in it."""

    network: str
    arguments: dict[str, Any]
    names: dict[str, str]
    """The network's tensor for each tensor of the file."""
    blur_folder: str
    """Blur folder of the authors' training data; empty if unknown."""
    unused: str = r"(?!)"
    """Pattern of the names of tensors that the authors' network does not use, either."""
    axes: tuple[int, ...] = (0, 1, 2, 3)
    """The file's axis for each axis of a convolution's weights."""
    layers: dict[str, Layer] = field(default_factory=dict)
    """Channel orders by the name of the file's layer, for files of Caffe."""

    def convert(self, name: str, tensor: Array, transposed: bool) -> Array:
        """Return a tensor of the file as the network stores it; `transposed` is for transposed convolutions."""
        layer = self.layers.get(name.rpartition("/")[0], Layer(""))
        if tensor.ndim == 4:
            tensor = tensor.transpose(self.axes)
            outputs, inputs = (1, 0) if transposed else (0, 1)
            tensor = tensor.take(layer.inputs(tensor.shape[inputs]), axis=inputs)
            return tensor.take(layer.outputs(tensor.shape[outputs]), axis=outputs)
        return tensor.take(layer.outputs(len(tensor)))


def srn(tensors: Tensors, layout: Layout) -> Target:
    """Return the target for a checkpoint of SRN-Deblur's `color`, `gray` or `lstm` network."""
    last, lstm = tensors.get("g_net/dec1_0/biases"), "g_net/convLSTM/LSTM_conv/weights" in tensors
    layers = {}
    for number, stage in enumerate(("in_block", "encoder1", "encoder2"), 1):
        layers[f"enc{number}_1"] = f"{stage}.0"
        layers |= {f"enc{number}_{n}/conv{m}": f"{stage}.{n}.body.{2 * m - 2}" for n in (2, 3, 4) for m in (1, 2)}
    for number, stage in enumerate(("out_block", "decoder1", "decoder2"), 1):
        layers |= {f"dec{number}_{n}/conv{m}": f"{stage}.{3 - n}.body.{2 * m - 2}" for n in (3, 2, 1) for m in (1, 2)}
    layers |= {"dec2_4": "decoder2.3", "dec1_4": "decoder1.3", "dec1_0": "out_block.3"}
    layers |= {"convLSTM/LSTM_conv": "bottleneck.gates"} if lstm else {}
    return Target(
        network="srn",
        arguments={
            "bottleneck": "conv_lstm" if lstm else "none",
            "channels": 1 if last is not None and last.shape == (1,) else 3,
            "padding": "same",
            "resize": "tf1",
        },
        names={
            f"g_net/{theirs}/{kind}s": f"at_scale.0.{ours}.{'bias' if kind == 'biase' else kind}"
            for theirs, ours in layers.items()
            for kind in ("weight", "biase")
        },
        blur_folder="blur",
        unused=r".*/Adam(_1)?|beta[12]_power|Variable",
        axes=(3, 2, 0, 1),  # (rows, columns, in, out), and for transposed convolutions (rows, columns, out, in)
    )


def svrnn(tensors: Tensors, layout: Layout) -> Target:
    """Return the target for a `.caffemodel` of SVRNN-Deblur."""
    generation = "convg1_1 convg1_2 convg2_1 convg2_2 convg3_1 convg3_2 convg3_3 convg4_1 convg4_2 convg4_3"
    generation += " convgd1 convgd1_2 convgd2"
    layers = {"conve1_1": Layer("conv1"), "conve1_2": Layer("conv2")}
    layers |= {name: Layer(f"weight_generation.conv{n}") for n, name in enumerate(generation.split(), 3)}
    layers |= {"convgd2_2": Layer("conv16", outputs=_weights(32, layout))}
    layers |= {f"conv_rnn{n}": Layer(f"between.conv{16 + n}", inputs=_results(32, layout)) for n in (1, 2, 3, 4)}
    layers |= {"convd1_1": Layer("conv21"), "convd1_2": Layer("conv22")}
    return _of_caffe("svrnn", {"resize": "caffe"}, layers, layout, "blur", r"rnn[1-4]_[1-4]/[0-2]")


def flow_rnn(tensors: Tensors, layout: Layout) -> Target:
    """Return the target for a `.caffemodel` of FlowRNN."""
    flow, enlarged = _flow(layout), _ends_in_flow(layout)
    same = "conv1 conv2 conv3 conv3_1 conv4 conv4_1 conv5 conv5_1 conv6 conv6_1"
    layers = {name: Layer(f"flow_net.{name}") for name in same.split()}
    layers |= {"predict_conv6": Layer("flow_net.flow6", outputs=flow), "deconv5": Layer("flow_net.deconv6")}
    layers |= {f"predict_conv{n}": Layer(f"flow_net.flow{n}", enlarged, flow) for n in (2, 3, 4, 5)}
    layers |= {f"deconv{n}": Layer(f"flow_net.deconv{n + 1}", enlarged) for n in (1, 2, 3, 4)}
    layers |= {f"upsample_flow{n + 1}to{n}": Layer(f"flow_net.up{n + 1}to{n}", flow, flow) for n in (1, 2, 3, 4, 5)}
    for n, size in ((2, 24), (3, 48), (4, 96)):
        layers[f"conv_rnnw{n}"] = Layer(f"flow_net.rnnw{n - 1}", enlarged, _weights(size, layout))
    decoder = {"conv_rnne_2": ("d_conv2", 24), "conv_rnne_3": ("d_conv3", 48), "conv_rnne_4": ("d_conv3_2", 96)}
    decoder |= {"conv_rnnd_4": ("d_deconv3", 96), "conv_rnnd_3": ("d_deconv2", 48), "conv_rnnd_2": ("d_deconv1", 24)}
    layers |= {theirs: Layer(ours, inputs=_results(size, layout)) for theirs, (ours, size) in decoder.items()}
    plain = {"conv_rnne_1": "d_conv1", "conv_rnne_4_1": "d_conv3_3", "conv_rnnd_4_1": "d_deconv3_1"}
    plain |= {"conv_rnnd_3_1": "d_deconv2_1", "conv_rnnd_2_1": "d_deconv1_1", "conv_rnnd_1": "d_conv0"}
    layers |= {theirs: Layer(ours) for theirs, ours in plain.items()}
    return _of_caffe("flow_rnn", {"fill": "zeros"}, layers, layout, "input", r"rnn[2-4]_[1-4]/[0-2]")


def liu2016(tensors: Tensors, layout: Layout) -> Target:
    """Return the target for a `.mat` or `.caffemodel` of version 1 of Liu et al. 2016."""
    names = "conv0 conv1 conv2 conv3 conv4 conv5 conv6 conv6s conv7 conv8 conv10 conv11"
    layers = {name: Layer(name) for name in names.split()}
    layers["conv9"] = Layer("conv9", outputs=_blocks(16, (1, 0, 3, 2) if layout == "columns" else (0, 1, 2, 3)))
    return _of_caffe("liu2016", {"resize": "caffe"}, layers, layout, "", r"rnn[1-8]/[0-2]")


def nafnet(tensors: Tensors, layout: Layout) -> Target:
    """Return the target for a state dict of NAFNet, whose names are the network's; the sizes are the file's."""
    first, levels = (
        tensors.get("intro.weight"),
        sum(re.fullmatch(r"downs\.\d+\.weight", name) is not None for name in tensors),
    )
    if first is None or first.ndim != 4 or not 0 < levels <= 8:
        raise ValueError(
            "it has no tensors intro.weight (of 4 dimensions) and downs.0.weight to, at most, downs.7.weight"
        )

    def blocks(place: str) -> int:
        matches = (re.match(rf"{place}\.(\d+)\.", name) for name in tensors)
        return len({match[1] for match in matches if match})

    encoder, decoder = ([blocks(rf"{part}\.{n}") for n in range(levels)] for part in ("encoders", "decoders"))
    middle = blocks("middle_blks")
    if (total := sum(encoder) + middle + sum(decoder)) > MOST_BLOCKS:
        raise ValueError(f"it has tensors of {total} blocks, which are more than {MOST_BLOCKS}")
    return Target(
        network="deblurzoo.nets.nafnet:NAFNet",
        arguments={
            "width": first.shape[0],
            "encoder_blocks": encoder,
            "middle_blocks": middle,
            "decoder_blocks": decoder,
            "tlc": 384,  # as in the authors' tests on GOPRO
        },
        names={name: name for name in tensors},
        blur_folder="blur",
    )


TARGETS: dict[str, Callable[[Tensors, Layout], Target]] = {
    "srn": srn,
    "svrnn": svrnn,
    "flow_rnn": flow_rnn,
    "liu2016": liu2016,
    "nafnet": nafnet,
}
"""Networks of `deblurzoo import`."""


def _of_caffe(
    network: str, arguments: dict[str, Any], layers: dict[str, Layer], layout: Layout, blur: str, unused: str
) -> Target:
    return Target(
        network=network,
        arguments=arguments,
        names={
            f"{theirs}/{number}": f"{layer.name}.{kind}"
            for theirs, layer in layers.items()
            for number, kind in enumerate(("weight", "bias"))
        },
        blur_folder=blur,
        unused=unused,
        axes=(0, 1, 3, 2) if layout == "columns" else (0, 1, 2, 3),
        layers=layers,
    )


def _blocks(size: int, order: tuple[int, int, int, int]) -> Order:
    """Return the order that permutes blocks of `size` channels within each four blocks."""

    def permuted(channels: int) -> npt.NDArray[np.intp]:
        index = np.arange(channels).reshape(-1, 4, size)
        return index[:, order].ravel()

    return permuted


def _weights(size: int, layout: Layout) -> Order:
    """Return the order of RNN weights, from Caffe's [x1, y1, x2, y2] to [LR, RL, TB, BT].

    1 is forward, 2 backward; x is vertical in `columns`, and horizontal in `rows`.
    """
    return _blocks(size, (1, 3, 0, 2) if layout == "columns" else (0, 2, 1, 3))


def _results(size: int, layout: Layout) -> Order:
    """Return the order of an RNN's results, from Caffe's [x1, x2, y1, y2] to [LR, RL, TB, BT].

    Other channels follow.
    """

    def permuted(channels: int) -> npt.NDArray[np.intp]:
        results = _blocks(size, (2, 3, 0, 1))(4 * size)
        return np.concatenate([results, np.arange(4 * size, channels)])

    return permuted if layout == "columns" else np.arange


def _flow(layout: Layout) -> Order:
    """Return the order of a flow's channels, from Caffe's [x, y] to [horizontal, vertical]."""
    return (lambda channels: np.arange(channels)[::-1]) if layout == "columns" else np.arange


def _ends_in_flow(layout: Layout) -> Order:
    """Return the order of channels of which the last two are a flow."""

    def permuted(channels: int) -> npt.NDArray[np.intp]:
        return np.concatenate([np.arange(channels - 2), [channels - 1, channels - 2]])

    return permuted if layout == "columns" else np.arange
