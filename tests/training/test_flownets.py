import logging
from pathlib import Path

import pytest
import torch

from deblurzoo.errors import DeblurzooError
from deblurzoo.training.flow_rnn import FLOWNETS_LAYERS, FlowRNNDeblur

SCHEDULE = {"steps": 10, "power": 2.0}


def module(flownet: Path | None, variant: str = "full") -> FlowRNNDeblur:
    torch.manual_seed(0)
    return FlowRNNDeblur(
        {"variant": variant, "width": 0.125}, {"lr": 1e-4}, SCHEDULE, str(flownet) if flownet else None
    )


def ported_state() -> dict[str, torch.Tensor]:
    """Return a state dict like a PyTorch port of FlowNetS: its layer names, no bias in the upsampled flows."""
    flow_net = module(None).net.flow_net
    state = {}
    for ours, theirs in FLOWNETS_LAYERS.items():
        layer = flow_net.get_submodule(ours)
        state[f"{theirs}.weight"] = torch.full_like(layer.weight, 0.5)  # type: ignore[arg-type]
        if not ours.startswith("up"):
            state[f"{theirs}.bias"] = torch.full_like(layer.bias, 0.25)  # type: ignore[arg-type]
    return state


def test_what_fits_is_loaded_and_what_does_not_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = ported_state()
    state["deconv5.0.weight"] = torch.zeros(1024, 512, 4, 4)  # of the full-width network
    state["conv7.0.weight"] = torch.zeros(24)
    torch.save({"state_dict": state}, tmp_path / "flownets.pth")
    trained = module(tmp_path / "flownets.pth")
    with caplog.at_level(logging.INFO):
        trained.load_pretrained()
    flow_net = trained.net.flow_net
    assert (flow_net.conv1.weight == 0.5).all() and (flow_net.deconv6.bias == 0.25).all()
    assert not (flow_net.deconv6.weight == 0.5).any() and not (flow_net.rnnw1.weight == 0.5).any()
    loaded, rescaled, left = (record.getMessage() for record in caplog.records)
    assert rescaled.startswith("flowN and upNtoM are rescaled from units of 20 pixels")
    names = loaded.partition(": ")[2].split(", ")
    assert "conv1.weight" in names and "deconv6.weight" not in names
    assert "deconv6.weight ((1024, 512, 4, 4) in the file, not (48, 24, 4, 4))" in left
    assert "up6to5.bias (missing)" in left and "unused tensors in the file: conv7.0.weight" in left


def test_two_directions_keep_what_has_other_shapes(tmp_path: Path) -> None:
    torch.save(ported_state(), tmp_path / "flownets.pth")
    trained = module(tmp_path / "flownets.pth", "two_directions")
    trained.load_pretrained()
    assert (trained.net.flow_net.conv2.weight == 0.5).all()
    assert not (trained.net.flow_net.conv1.weight == 0.5).any()


def test_files_of_other_networks_are_refused(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "vgg.pth")
    with pytest.raises(DeblurzooError, match=r"model\.flownet does not fit \(conv2\.weight \(missing\)"):
        module(tmp_path / "vgg.pth").load_pretrained()
    wide = {f"{name}.0.weight": torch.zeros(64, 6, 7, 7) for name in ("conv1", "conv2", "conv3")}
    torch.save(wide | {"predict_flow2.bias": torch.zeros(2)}, tmp_path / "wide.pth")
    with pytest.raises(DeblurzooError, match=r"FlowNetS at 3/8 width"):
        module(tmp_path / "wide.pth").load_pretrained()
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(DeblurzooError, match=r"text\.pth cannot be read"):
        module(tmp_path / "text.pth").load_pretrained()


def test_flows_are_those_of_the_port_in_pixels_of_each_scale(tmp_path: Path) -> None:
    port, frames = module(None).net.flow_net.double(), torch.rand(1, 6, 64, 64).double()
    with torch.no_grad():
        for parameter in port.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    state = {f"{theirs}.{kind}": tensor for ours, theirs in FLOWNETS_LAYERS.items()
             for kind, tensor in port.get_submodule(ours).state_dict().items()}  # fmt: skip
    torch.save(state, tmp_path / "flownets.pth")
    trained = module(tmp_path / "flownets.pth")
    trained.double().load_pretrained()
    flows, theirs = trained.net.flow_net(frames)[0], port(frames)[0]
    for scale, flow, unscaled in zip((2, 3, 4, 5, 6), flows, theirs, strict=True):
        torch.testing.assert_close(flow, unscaled * 20 / 2**scale, rtol=1e-9, atol=1e-12)


def test_a_file_with_batch_normalisation_is_refused(tmp_path: Path) -> None:
    torch.save({**ported_state(), "conv1.1.running_mean": torch.zeros(3)}, tmp_path / "flownets.pth")
    trained = module(tmp_path / "flownets.pth")
    before = trained.net.flow_net.conv2.weight.clone()
    with pytest.raises(DeblurzooError, match=r"batch normalisation \(conv1\.1\.running_mean\), which the flow network"):
        trained.load_pretrained()
    assert torch.equal(before, trained.net.flow_net.conv2.weight)
