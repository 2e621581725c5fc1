"""Networks of `deblurzoo benchmark`, their theoretical cost, and their naive variant."""

from typing import Any

import torch
from safetensors.torch import save

from deblurzoo.benchmark import NAMES
from deblurzoo.nets import SRN, SVRNN, FlowRNN, blocks, flow_rnn, svrnn
from deblurzoo.nets.base import DeblurNet
from deblurzoo.nets.cost import macs
from deblurzoo.ops.spatial_rnn import reference
from deblurzoo.reports.papers import rows

NETWORKS: dict[str, type[DeblurNet]] = dict(zip(NAMES, (SVRNN, SRN, FlowRNN), strict=True))


def make(name: str, width: float) -> DeblurNet:
    """Return a network with random initial weights (seed 0), in eval mode."""
    torch.manual_seed(0)
    return NETWORKS[name](width=width).eval()


def with_naive_recurrence() -> None:
    """Replace the spatial RNN of all networks in this process by the reference, a loop over columns and rows."""
    for module in (blocks, svrnn, flow_rnn):
        module.spatial_rnn = reference.forward  # type: ignore[attr-defined]


def describe(name: str, width: float, sizes: list[tuple[int, int]]) -> dict[str, Any]:
    """Return the class, the parameter count and the cost of a network.

    The cost consists of the bytes of the safetensors file, the paper's run time in seconds and its GPU (or None), and
    the multiply-adds by image size.
    """
    net = make(name, width)
    seconds, gpu = _paper_seconds(net)
    facts = {
        "class": type(net).__name__,
        "parameters": sum(p.numel() for p in net.parameters()),
        "file_bytes": len(save({key: tensor.contiguous() for key, tensor in net.state_dict().items()})),
        "paper_seconds": seconds,
        "paper_gpu": gpu,
    }
    return facts | {"macs": {f"{height}x{width}": macs(net, (height, width)) for height, width in sizes}}


def _paper_seconds(net: DeblurNet) -> tuple[float | None, str | None]:
    """Return the seconds that a paper reports for a network of this parameter count, and the authors' GPU, or None."""
    size = sum(p.numel() for p in net.parameters())
    return next(((row.seconds, row.gpu) for row in rows() if row.seconds and row.parameters == size), (None, None))
