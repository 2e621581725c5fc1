"""The papers' figures beside ours."""

from typing import Any

import pytest

from deblurzoo.nets import SRN, SVRNN, FlowRNN, Liu2016
from deblurzoo.reports.papers import published, tables

NETWORKS = {"SRN": SRN, "SVRNN": SVRNN, "FlowRNN": FlowRNN, "Liu2016": Liu2016}
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


def results(network: Any, arguments: dict[str, Any], **conditions: Any) -> dict[str, Any]:
    defaults = {"scales": 3, "shared": True, "bottleneck": "conv_lstm", "block": "residual"} if network is SRN else {}
    parameters = sum(p.numel() for p in network(**arguments).parameters())
    facts = {"class": network.__name__, "arguments": {**defaults, **arguments}, "parameters": parameters}
    gopro = {"dataset": "gopro", "protocol": "gopro", "blur_folder": "blur", "frames": 1111}
    return {**gopro, **conditions, "network": facts}


@pytest.mark.parametrize("name", SRN_TABLE)
def test_every_row_of_srns_table_finds_its_figure(name: str) -> None:
    row = published(results(SRN, {"kernel_size": 3, **SRN_TABLE[name]}))
    assert row is tables()["srn_gopro"]["rows"][name]


def test_every_row_that_names_a_network_can_be_built() -> None:
    for key, table in tables().items():
        for name, row in table["rows"].items():
            if "network" in row and row["network"]["class"] != "SRN":
                kind, *_ = row["network"].values()
                arguments = {k: v for k, v in row["network"].items() if k != "class"}
                assert published(results(NETWORKS[kind], arguments, **table["conditions"])) is row, (key, name)


def test_other_conditions_and_other_networks_have_no_figure() -> None:
    assert published(results(SVRNN, {"variant": "full"}, blur_folder="blur_gamma")) is None
    assert published(results(SVRNN, {"variant": "full"}, frames=1110)) is None
    assert published(results(SVRNN, {"variant": "full", "disable_rnn": True})) is None
    assert published(results(SVRNN, {"variant": "full"}, dataset="toy", protocol="toy")) is None
    assert published(results(SVRNN, {"variant": "full", "width": 0.5})) is None
    assert published(results(SVRNN, {"variant": "full", "residual": True})) is None
