"""Modifications of networks at inference, from the papers' figures."""

import json
from pathlib import Path

import pytest
import torch

from conftest import TINY_NETS, TINY_RUN, Run
from deblurzoo.commands.evaluation import turn_on
from deblurzoo.errors import DeblurzooError
from deblurzoo.nets import NAFNet


def test_a_trained_network_is_evaluated_with_its_switch_on(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    data = f"data.root={toy}"
    short = ["trainer.max_steps=2", "trainer.val_check_interval=2", "name=run"]
    done = deblurzoo("train", "model=svrnn", *TINY_RUN, *TINY_NETS["svrnn"], *short, data)
    assert done.returncode == 0, done.stdout + done.stderr
    results = {}
    for switch in ("null", "disable_rnn"):
        done = deblurzoo("evaluate", "checkpoint=runs/run", "data=toy", data, "trainer=cpu", f"switch={switch}")
        assert done.returncode == 0, done.stdout + done.stderr
    for folder in ("toy_blur", "toy_blur_disable_rnn"):
        results[folder] = json.loads((tmp_path / "runs/run/evaluate" / folder / "results.json").read_text())
    off = results["toy_blur_disable_rnn"]
    assert off["network"]["arguments"]["disable_rnn"] is True and off["name"] == "run disable_rnn"
    assert off["restored"]["psnr"] != results["toy_blur"]["restored"]["psnr"]
    done = deblurzoo("evaluate", "checkpoint=runs/run", "data=toy", data, "trainer=cpu", "switch=same_frame")
    assert done.returncode == 1
    assert "error: switch=same_frame has no effect on this SVRNN" in done.stderr and "Traceback" not in done.stderr


def test_nafnet_is_evaluated_with_global_statistics(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    short = ["trainer.max_steps=2", "trainer.val_check_interval=2", "name=run", "model.net.tlc=32"]
    data = f"data.root={toy}"
    done = deblurzoo("train", "model=nafnet", *TINY_RUN, *TINY_NETS["nafnet"], *short, data)
    assert done.returncode == 0, done.stdout + done.stderr
    for switch in ("null", "no_tlc"):
        done = deblurzoo("evaluate", "checkpoint=runs/run", "data=toy", data, "trainer=cpu", f"switch={switch}")
        assert done.returncode == 0, done.stdout + done.stderr
    local, whole = (
        json.loads((tmp_path / "runs/run/evaluate" / folder / "results.json").read_text())
        for folder in ("toy_blur", "toy_blur_no_tlc")
    )
    assert (local["network"]["arguments"]["tlc"], whole["network"]["arguments"]["tlc"]) == (32, None)


def test_no_tlc_averages_over_the_whole_image() -> None:
    torch.manual_seed(0)
    net, image = NAFNet(4, (1,), 1, (1,), tlc=16).eval(), torch.rand(1, 1, 3, 24, 32)
    torch.nn.init.ones_(net.middle_blks[0].beta)  # type: ignore[arg-type,union-attr]
    with torch.no_grad():
        local = net(image).image
        assert turn_on(net, "no_tlc") == {"tlc": None}
        whole = net(image).image
        assert not torch.allclose(local, whole)
        assert torch.equal(whole, net.train()(image).image)
    with pytest.raises(DeblurzooError, match="switch=no_tlc has no effect on this NAFNet"):
        turn_on(net, "no_tlc")
