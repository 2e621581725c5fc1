"""Modifications of networks at inference, from the papers' figures."""

import json
from pathlib import Path

from conftest import TINY_NETS, TINY_RUN, Run


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
    short = ["trainer.max_steps=2", "trainer.val_check_interval=2", "name=run"]
    learned = ["model.net.tlc=32", "model.optimizer.lr=0.1"]  # initially, blocks are the identity
    data = f"data.root={toy}"
    done = deblurzoo("train", "model=nafnet", *TINY_RUN, *TINY_NETS["nafnet"], *short, *learned, data)
    assert done.returncode == 0, done.stdout + done.stderr
    for switch in ("null", "no_tlc"):
        done = deblurzoo("evaluate", "checkpoint=runs/run", "data=toy", data, "trainer=cpu", f"switch={switch}")
        assert done.returncode == 0, done.stdout + done.stderr
    local, whole = (
        json.loads((tmp_path / "runs/run/evaluate" / folder / "results.json").read_text())
        for folder in ("toy_blur", "toy_blur_no_tlc")
    )
    assert (local["network"]["arguments"]["tlc"], whole["network"]["arguments"]["tlc"]) == (32, None)
    assert local["restored"]["psnr"] != whole["restored"]["psnr"]
