"""The papers' results, matched with evaluations."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from deblurzoo import nets
from deblurzoo.nets import SRN, SVRNN
from deblurzoo.reports import papers
from deblurzoo.reports.papers import published, rows, rows_of
from deblurzoo.reports.results import Network, Results

SRN_TABLE = {
    "SS": {"scales": 1, "bottleneck": "conv"},
    "SC": {"shared": False, "bottleneck": "conv"},
    "w/o R": {"bottleneck": "conv"},
    "RNN": {"bottleneck": "rnn"},
    "SR-Flat": {"body": "flat", "block": "plain", "bottleneck": "conv"},
    "SR-RB": {"body": "flat", "bottleneck": "conv"},
    "SR-ED": {"block": "plain"},
    "SR-EDRB1": {"blocks": 1},
    "SR-EDRB2": {"blocks": 2},
    "SR-EDRB3": {"blocks": 3},
}


def results(network: Any, arguments: dict[str, Any], **conditions: Any) -> Results:
    defaults = {"scales": 3, "shared": True, "bottleneck": "conv_lstm", "block": "residual"} if network is SRN else {}
    with torch.device("meta"):
        parameters = sum(p.numel() for p in network(**arguments).parameters())
    facts = {"class": network.__name__, "arguments": {**defaults, **arguments}, "parameters": parameters}
    gopro = {"dataset": "gopro", "protocol": "gopro", "blur_folder": "blur", "frames": 1111}
    return Results.model_construct(**{**gopro, **conditions}, network=Network.model_validate(facts))


@pytest.mark.parametrize("name", SRN_TABLE)
def test_every_row_of_srns_table_finds_its_figure(name: str) -> None:
    row = published(results(SRN, {"kernel_size": 3, **SRN_TABLE[name]}))
    assert row is not None and (row.table, row.name) == ("srn_gopro", name)


def test_every_row_that_names_a_network_can_be_built() -> None:
    for row in rows():
        if row.network and row.network["class"] != "SRN":
            arguments = {key: value for key, value in row.network.items() if key != "class"}
            assert published(results(getattr(nets, row.network["class"]), arguments, **row.conditions)) is row


def test_what_deblurzoo_can_train_names_its_experiment() -> None:
    for row in rows():
        assert bool(row.network) == bool(row.experiment) == bool(row.parameters), row
    assert [(row.table, row.figures) for row in rows_of("srn_gopro")] == [
        ("srn_gopro", {"psnr": 30.10, "ssim_matlab3d": 0.9323}),
        ("srn_kohler", {"psnr": 26.80, "mssim": 0.8375}),
        ("flow_dvd", {"psnr": 29.95, "ssim_matlab3d": 0.919}),
    ]
    assert rows_of("srn_toy") == []


def test_every_run_time_has_its_gpu() -> None:
    timed = [row for row in rows() if row.seconds is not None]
    assert len(timed) == 26
    assert {row.table: row.gpu for row in timed} == {
        "svrnn_gopro": "K80",
        "srn_gopro": "Titan X",
        "srn_kohler": "Titan X",
        "flow_dvd": "Titan Xp",
    }
    assert all(row.gpu for row in timed) and not any(row.gpu for row in rows() if row.seconds is None)


def test_other_conditions_and_other_networks_have_no_figure() -> None:
    assert published(results(SVRNN, {"variant": "full"}, blur_folder="blur_gamma")) is None
    assert published(results(SVRNN, {"variant": "full"}, frames=1110)) is None
    assert published(results(SVRNN, {"variant": "full", "disable_rnn": True})) is None
    ensemble = results(SVRNN, {"variant": "full"})
    assert published(ensemble)
    ensemble.network.arguments["self_ensemble"] = True
    assert published(ensemble) is None
    assert published(results(SVRNN, {"variant": "full"}, dataset="toy", protocol="toy")) is None
    assert published(results(SVRNN, {"variant": "full", "width": 0.5})) is None
    assert published(results(SVRNN, {"variant": "full", "residual": True})) is None


def test_metrics_are_those_of_the_protocol_and_of_known_range() -> None:
    known = {"psnr", "ssim", "ssim_2d", "mssim", "psnr_aligned", "says", "seconds", "gpu", "network", "experiment"}
    content = yaml.safe_load(Path(papers.__file__).with_name("papers.yaml").read_bytes())
    for table in (content[name] for name in content if name != "parameters"):
        assert table["source"] and all(set(row) <= {*known, "trained_on"} for row in table["rows"].values())
    for row in rows():
        aligned = row.conditions.get("measure") == "realblur"
        assert aligned == (set(row.figures) == {"psnr_aligned"}) and aligned == ("psnr_aligned" in row.figures), row
        for name, value in row.figures.items():
            assert 20 < value < 45 if name.startswith("psnr") else 0.7 < value < 1, row
