"""Training of FlowRNN."""

import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deblurzoo.batch import Batch, Restored
from deblurzoo.errors import DeblurzooError
from deblurzoo.nets import FlowRNN
from deblurzoo.nets.flow_rnn import FlowNet
from deblurzoo.training.losses import warp_losses
from deblurzoo.training.module import DeblurModule
from deblurzoo.training.pretrained import read_state

log = logging.getLogger(__name__)

FLOWNETS_LAYERS = {
    **{name: f"{name}.0" for name in ("conv1", "conv2", "conv3", "conv3_1", "conv4", "conv4_1", "conv5", "conv5_1")},
    **{name: f"{name}.0" for name in ("conv6", "conv6_1")},
    **{f"flow{n}": f"predict_flow{n}" for n in (6, 5, 4, 3, 2)},
    **{f"up{n}to{n - 1}": f"upsampled_flow{n}_to_{n - 1}" for n in (6, 5, 4, 3)},
    **{f"deconv{n}": f"deconv{n - 1}.0" for n in (6, 5, 4, 3)},
}
"""Layer names of `FlowNet`, mapped to the layer names of the PyTorch ports of FlowNetS.

The ports number each deconvolution by its output scale. The ports have no layers at half resolution (up2to1, deconv2)
and no layers that predict RNN weights.
"""
KINDS = ("weight", "bias")
UNIT = 20
"""Unit of the flows of the ports, at every scale, in pixels of the full resolution."""


class FlowRNNDeblur(DeblurModule):
    """Training module of FlowRNN: the losses of the config and, if flow is learned, warping losses at five scales.

    Args:
        net, optimizer, schedule, loss: as in `DeblurModule`.
        flownet: file with the state dict of a FlowNetS at 3/8 width, with the values of `FLOWNETS_LAYERS` as layer
            names. The flow network is initialised from this file, as in the paper. None for random initialisation.
    """

    network = FlowRNN
    net: FlowRNN

    def __init__(
        self,
        net: dict[str, Any],
        optimizer: dict[str, Any] | None = None,
        schedule: dict[str, Any] | None = None,
        flownet: str | None = None,
        loss: dict[str, float] | None = None,
    ) -> None:
        super().__init__(net, optimizer, schedule, loss)
        self.flownet = flownet

    def load_pretrained(self) -> None:
        """Initialise the flow network from the file `flownet`."""
        if self.flownet is not None and self.net.variant != "no_rnns":
            state = read_state(Path(self.flownet), "model.flownet", "the state dict of a FlowNetS, or null")
            initialise_from_flownets(self.net.flow_net, state)

    def losses(self, restored: Restored, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of the restored image and, if flow is learned, the warping losses."""
        flows = restored.flows if self.net.learns_flow else ()
        return {**super().losses(restored, batch), **warp_losses(flows, batch.blur)}


def initialise_from_flownets(flow_net: FlowNet, state: dict[str, Tensor]) -> None:
    """Copy the tensors of a FlowNetS state dict that match in name and shape. Log loaded, missing and unused tensors.

    The ports predict flow in units of 20 pixels of the full resolution, `FlowNet` in pixels of each scale. The layers
    `flowN` are therefore multiplied by 20 / 2^N, and the kernels of the layers `upNtoM`, which read these flows, are
    divided by it. All other layers compute the same features as in the port.

    Raises:
        DeblurzooError: the file is of a FlowNetS with batch normalisation, which `FlowNet` does not have, or an encoder
            layer does not match. The first layer may differ; its shape depends on the number of frames.
    """
    if normalisation := [name for name in state if ".1." in name or name.endswith("running_mean")]:
        raise DeblurzooError(
            f"model.flownet is a FlowNetS with batch normalisation ({normalisation[0]}), which the flow network does "
            "not have: give the state dict of a FlowNetS without batch normalisation, or null"
        )
    loaded, left = [], []
    for name, parameter in flow_net.named_parameters():
        layer, kind = name.rsplit(".", 1)
        source = state.get(f"{FLOWNETS_LAYERS.get(layer)}.{kind}")
        if source is None or source.shape != parameter.shape:
            shapes = "missing" if source is None else f"{tuple(source.shape)} in the file, not {tuple(parameter.shape)}"
            left.append(f"{name} ({shapes})")
            continue
        with torch.no_grad():
            parameter.copy_(source * _factor(layer, kind))
        loaded.append(name)
    misfits = [line for line in left if line.startswith("conv") and ".weight" in line and not line.startswith("conv1.")]
    if misfits:
        raise DeblurzooError(
            f"model.flownet does not fit ({misfits[0]}): give the state dict of a FlowNetS at 3/8 width (times "
            f"model.net.width) with tensor names such as {FLOWNETS_LAYERS['conv2']}.weight, or null"
        )
    unused = sorted(state.keys() - {f"{theirs}.{kind}" for theirs in FLOWNETS_LAYERS.values() for kind in KINDS})
    log.info("loaded from FlowNetS: %s", ", ".join(loaded))
    log.info("flowN and upNtoM are rescaled from units of 20 pixels of the full resolution to pixels of each scale")
    log.info("not loaded: %s; unused tensors in the file: %s", ", ".join(left), ", ".join(unused) or "none")


def _factor(layer: str, kind: str) -> float:
    """Return the factor that converts a tensor of a port to one of `FlowNet`."""
    if not layer.startswith(("flow", "up")):
        return 1.0
    flow = UNIT / 2 ** int(layer.removeprefix("flow").removeprefix("up")[0])
    if layer.startswith("flow"):
        return flow
    return 1 / flow if kind == "weight" else 1.0
