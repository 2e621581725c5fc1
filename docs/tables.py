"""Write the tables of `docs/networks.md` from the networks and from `papers.yaml`: `python docs/tables.py`."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deblurzoo.commands.experiments import load_experiment, names
from deblurzoo.nets import SRN, SVRNN, FlowRNN, Liu2016, NAFNet
from deblurzoo.nets.base import DeblurNet
from deblurzoo.reports.papers import parameters, rows_of

PAGE = Path(__file__).with_name("networks.md")
MARKED = re.compile(r"(<!-- table: (?P<name>[\w ]+) -->\n).*?(<!-- end -->)", re.S)
SIZE = 256
NETWORKS: dict[str, type[DeblurNet]] = {
    "svrnn": SVRNN,
    "srn": SRN,
    "flow_rnn": FlowRNN,
    "liu2016": Liu2016,
    "nafnet": NAFNet,
}
EXPERIMENTS = {"svrnn": "svrnn_gopro", "srn": "srn_gopro", "flow_rnn": "flow_dvd", "nafnet": "nafnet_gopro"}
"""Experiment of each full network. The names of the network's ablations begin with the name of this experiment."""
STAGES = re.compile(r"(?:at_scale\.0|flow_net|weight_generation|between)\.?")
"""Names of containers, which are removed from the names of layers."""
STAGE = re.compile(r"((encoders|downs|ups|decoders)\.)?\w+")
"""The name of a stage: the beginning of a layer's name."""


def convolutions(net: DeblurNet) -> Iterator[tuple[str, nn.Conv2d | nn.ConvTranspose2d, int]]:
    """Yield the name, the layer and the output height of each convolution of a network, for input of 256x256."""
    heights: dict[nn.Module, int] = {}

    def note(layer: nn.Module, _: object, out: Tensor) -> None:
        heights[layer] = out.shape[-2]

    layers = [(name, m) for name, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    for _, layer in layers:
        layer.register_forward_hook(note)
    net(torch.empty(1, net.frames, 3, SIZE, SIZE, device="meta"))
    for name, layer in layers:
        yield name, layer, heights[layer]


def layer_table(net: DeblurNet) -> list[list[str]]:
    """Return a table with a row per stage: its name, convolutions, output size and parameters.

    The names of all convolutions of a stage begin with the name of the stage.
    """
    stages: dict[str, list[tuple[nn.Conv2d | nn.ConvTranspose2d, int]]] = {}
    for name, layer, height in convolutions(net):
        stages.setdefault(stage(name), []).append((layer, height))
    table = [["layer", "convolutions", "output size", "parameters"]]
    for name, layers in stages.items():
        kinds = Counter(_described(layer) for layer, _ in layers)
        text = "; ".join(f"{count} x {kind}" if count > 1 else kind for kind, count in kinds.items())
        ratio = SIZE // layers[-1][1]
        count = sum(p.numel() for key, p in net.named_parameters() if stage(key) == name)
        table.append([f"`{name}`", text, "1" if ratio == 1 else f"1/{ratio}", f"{count:,}"])
    total = sum(p.numel() for p in net.parameters())
    return [*table, ["**total**", "", "", f"**{total:,}**"]]


def stage(name: str) -> str:
    """Return the name of the stage to which a layer or parameter belongs."""
    found = STAGE.match(STAGES.sub("", name))
    assert found
    return found[0]


def _described(layer: nn.Conv2d | nn.ConvTranspose2d) -> str:
    kind = "transposed " if isinstance(layer, nn.ConvTranspose2d) else ""
    if layer.groups > 1:
        kind = "depth-wise "
    stride = f", stride {layer.stride[0]}" if layer.stride[0] > 1 else ""
    return f"{kind}{layer.kernel_size[0]}x{layer.kernel_size[1]}, {layer.in_channels} to {layer.out_channels}{stride}"


def variant_table(network: str) -> list[list[str]]:
    """Return a table with a row per variant: experiment, overrides, parameters, and the paper's PSNR and SSIM."""
    full = EXPERIMENTS[network]
    table = [["experiment", "`model.net`", "parameters", "paper, PSNR", "paper, SSIM"]]
    for name in sorted(names(), key=lambda name: (name != full, parameters()[name])):
        if not name.startswith(full):
            continue
        keys = ", ".join(f"`{key}={str(value).lower()}`" for key, value in overrides(name).items())
        values: dict[str, Any] = next((row.figures for row in rows_of(name)), {})
        psnr, ssim = values.get("psnr"), values.get("ssim_matlab3d")
        table.append(
            [f"`{name}`", keys, f"{parameters()[name]:,}", f"{psnr:.2f}" if psnr else "", f"{ssim:.4f}" if ssim else ""]
        )
    return table


def overrides(experiment: str) -> dict[str, Any]:
    """Return the network's hyperparameters that an experiment and its parents set."""
    found: dict[str, Any] = {}
    content = load_experiment(experiment)
    for item in content.get("defaults", []):
        if isinstance(item, str) and item != "_self_":
            found |= overrides(item)
    return found | content.get("model", {}).get("net", {})


def markdown(table: list[list[str]], right: int) -> str:
    """Return a Markdown table. Columns from index `right` on are right-aligned."""
    head, *rows = table
    rule = ["---:" if number >= right else "---" for number in range(len(head))]
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, rule, *rows))


def written(page: str) -> str:
    """Return the page with updated tables at its marks."""

    def table(match: re.Match[str]) -> str:
        network, kind = match["name"].split()
        if kind == "layers":
            with torch.device("meta"):
                net = NETWORKS[network]()
            return f"{match[1]}{markdown(layer_table(net), right=3)}{match[3]}"
        return f"{match[1]}{markdown(variant_table(network), right=2)}{match[3]}"

    return MARKED.sub(table, page)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
