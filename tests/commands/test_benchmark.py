import json
import math
import os
import re
from pathlib import Path

import pytest
import torch

from conftest import Run
from deblurzoo.benchmark.networks import describe
from deblurzoo.commands.benchmark import main
from deblurzoo.errors import DeblurzooError
from deblurzoo.nets import SVRNN
from deblurzoo.nets.cost import macs


@pytest.mark.processes
def test_the_command_measures_prints_and_draws(deblurzoo: Run, tmp_path: Path) -> None:
    small = ["--width", "0.125", "--size", "64x96", "--sizes", "--repeats", "1", "--device", "cpu", "--out", "out"]
    done = deblurzoo("benchmark", *small, "--how", "naive", "eager", "onnxruntime", "--networks", "srn", COLUMNS="150")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert report["networks"]["srn"]["macs"].keys() == {"64x96"}
    cases = {(case["how"], case["precision"]): case for case in report["cases"]}
    assert cases.keys() == {(how, p) for how in ("naive", "eager", "onnxruntime") for p in ("fp32", "bf16")}
    for key in (("naive", "fp32"), ("eager", "fp32"), ("eager", "bf16"), ("onnxruntime", "fp32")):
        assert cases[key]["seconds"] > 0 and cases[key]["rounds"] == [cases[key]["seconds"]]
        assert cases[key]["cpu_seconds"] > 0
        assert cases[key]["peak_bytes"] > 1e8  # torch alone is more
    assert "naive fp32" in done.stdout and "x naive" in done.stdout and "load average" in done.stdout
    assert "not measured: srn onnxruntime bf16 on cpu: the ONNX file is float32" in done.stdout.replace("\n", " ")
    page = (tmp_path / "out" / "benchmark.html").read_text()
    assert "srn eager fp32 cpu" in page and "https://cdn" not in page.partition("<body>")[0]


@pytest.mark.processes
@pytest.mark.parametrize("network", ["svrnn", "flow_rnn"])
def test_every_network_is_measured_and_what_cannot_run_has_a_reason(
    network: str, deblurzoo: Run, tmp_path: Path
) -> None:
    (tmp_path / "onnxscript.py").write_text("raise ImportError('not in this test')")
    done = deblurzoo(
        *["benchmark", "--networks", network, "--width", "0.125", "--size", "16x70", "--sizes", "--repeats", "1"],
        *["--device", "cpu", "--how", "eager", "onnxruntime", "--precision", "fp32", "--out", "out"],
        PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
        COLUMNS="150",
    )
    assert done.returncode == 0, done.stderr
    eager, onnx = json.loads((tmp_path / "out" / "benchmark.json").read_text())["cases"]
    assert eager["seconds"] > 0
    assert "pip install 'deblurzoo[onnx]'" in onnx["reason"]
    assert f"not measured: {network} onnxruntime fp32 on cpu: ONNX export requires" in done.stdout


def test_macs_by_hand() -> None:
    net = SVRNN(variant="full", width=0.125)
    convolutions = recurrence = 0
    for name, layer in net.named_modules():
        if isinstance(layer, torch.nn.Conv2d):
            number = int(name.rpartition("conv")[2])
            half = {1: 1, 3: 1, 4: 1, 22: 1, 7: 4, 8: 4, 9: 4, 13: 4, 14: 4, 10: 8, 11: 8, 12: 8}.get(number, 2)
            convolutions += layer.weight.numel() * (24 // half) * (40 // half)
    for _ in range(4):
        recurrence += 2 * 4 * 4 * 12 * 20  # RNNs of 4 channels in 4 directions at half resolution, two each
    assert macs(net, (24, 40)) == convolutions + recurrence


@pytest.mark.parametrize(
    ("name", "seconds", "gpu"), [("svrnn", 1.4, "K80"), ("srn", 1.6, "Titan X"), ("flow_rnn", 0.2, "Titan Xp")]
)
def test_the_papers_figures_belong_to_the_full_networks(name: str, seconds: float, gpu: str) -> None:
    full = describe(name, 1.0, [(64, 64), (128, 128)])
    assert (full["paper_seconds"], full["paper_gpu"]) == (seconds, gpu)
    assert describe(name, 0.125, [(64, 64)])["paper_seconds"] is None
    assert full["file_bytes"] == pytest.approx(4 * full["parameters"], rel=0.01)
    assert math.isclose(full["macs"]["128x128"], 4 * full["macs"]["64x64"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--repeats", "0"], "argument --repeats: 0 must be a whole number of at least 1"),
        (["--width", "0"], r"--width=0\.0 must be above 0"),
        (["--size", "720"], "'720' is not a size HEIGHTxWIDTH of at least 16x16 pixels"),
        (["--networks", "unet"], "invalid choice: 'unet'"),
    ],
)
def test_wrong_options_are_refused(
    options: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((DeblurzooError, SystemExit)) as refused:
        main(options)
    assert re.search(message, f"{refused.value} {capsys.readouterr().err}")
    assert not list(tmp_path.iterdir())
