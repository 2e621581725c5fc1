import json
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from conftest import Run
from deblurzoo.errors import DeblurzooError
from deblurzoo.export import export
from deblurzoo.export.onnx import largest_difference
from deblurzoo.export.safetensors import write_export
from deblurzoo.nets.base import DeblurNet, restore_any_size
from deblurzoo.training.checkpoints import CONFIG, WEIGHTS, load_any, net_state, read_export
from deblurzoo.training.flow_rnn import FlowRNNDeblur
from deblurzoo.training.module import DeblurModule
from deblurzoo.training.srn import SRNDeblur
from deblurzoo.training.svrnn import Liu2016Deblur, SVRNNDeblur
from deblurzoo.version import __version__

TINY: dict[type[DeblurModule], dict[str, Any]] = {
    SVRNNDeblur: {"width": 0.125},
    SRNDeblur: {"width": 0.125, "blocks": 1, "kernel_size": 3},
    FlowRNNDeblur: {"width": 0.125},
    Liu2016Deblur: {},
    DeblurModule: {  # NAFNet
        "_target_": "deblurzoo.nets.nafnet.NAFNet",
        "width": 4,
        "encoder_blocks": [1, 2],
        "decoder_blocks": [1, 1],
        "tlc": 64,
    },
}


def module_of(kind: type[DeblurModule], **options: Any) -> DeblurModule:
    torch.manual_seed(1)
    module = kind(net={**TINY[kind], **options}, optimizer={"lr": 1e-4}, schedule={"steps": 1, "power": 1.0}).eval()
    for name, parameter in module.named_parameters():
        if name.endswith(("beta", "gamma")):  # initially 0, so that blocks of NAFNet have no effect
            torch.nn.init.uniform_(parameter, -1, 1)
    return module


def checkpoint_of(module: DeblurModule, folder: Path) -> Path:
    """Write a module as a checkpoint of `deblurzoo train`; return the run folder."""
    file = folder / "run" / "checkpoints" / "step_00000007.ckpt"
    file.parent.mkdir(parents=True)
    facts = {"run_id": "1", "dataset": "toy", "blur_folder": "blur"}
    content: dict[str, Any] = {"deblurzoo": facts, "global_step": 7, "state_dict": module.state_dict()}
    content |= {"hyper_parameters": dict(module.hparams), "optimizer_states": [], "lr_schedulers": []}
    module.on_save_checkpoint(content)
    torch.save(content, file)
    return folder / "run"


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    export(checkpoint_of(module_of(SRNDeblur), tmp_path), tmp_path / "exported", onnx=False)
    return tmp_path / "exported"


@pytest.mark.parametrize("kind", TINY)
def test_an_export_is_the_network_to_the_bit(kind: type[DeblurModule], tmp_path: Path) -> None:
    module = module_of(kind)
    run, out = checkpoint_of(module, tmp_path), tmp_path / "exported"
    assert export(run, out, onnx=False) == {}
    assert sorted(path.name for path in out.iterdir()) == [CONFIG, WEIGHTS]
    blur = torch.rand(1, module.net.frames, 3, 37, 70)
    for path in (out, out / WEIGHTS, run, run / "checkpoints" / "step_00000007.ckpt"):
        loaded = load_any(path)
        assert type(loaded) is type(module.net)
        state = loaded.state_dict()
        assert state.keys() == module.net.state_dict().keys()
        assert all(torch.equal(tensor, state[name]) for name, tensor in module.net.state_dict().items())
    with torch.no_grad():
        assert torch.equal(restore_any_size(loaded.eval(), blur), module.restore(blur))
    assert (out / WEIGHTS).read_bytes()[8:9] == b"{"  # safetensors header: nothing is pickled


def test_config_says_what_the_network_is(exported: Path) -> None:
    assert json.loads((exported / CONFIG).read_text()) == {
        **TINY[SRNDeblur],
        "deblurzoo": {
            "module": "srn",
            "network": "srn",
            "frames": 1,
            "size_multiple": 16,
            "blur_folder": "blur",
            "step": 7,
            "version": __version__,
        },
    }


def test_an_export_of_an_export_is_the_same(exported: Path, tmp_path: Path) -> None:
    export(exported, tmp_path / "again", onnx=False)
    for name in (CONFIG, WEIGHTS):
        assert (tmp_path / "again" / name).read_bytes() == (exported / name).read_bytes()


def test_half_precision_takes_half_the_space(exported: Path, tmp_path: Path) -> None:
    export(exported, tmp_path / "half", onnx=False, half=True)
    state, rounded = (load_any(folder).state_dict() for folder in (exported, tmp_path / "half"))
    assert all(torch.equal(rounded[name], tensor.half().float()) for name, tensor in state.items())
    sizes = [(folder / WEIGHTS).stat().st_size for folder in (exported, tmp_path / "half")]
    assert sizes[1] < 0.6 * sizes[0]


@pytest.mark.parametrize("half", [False, True])
def test_whole_numbers_stay_whole(half: bool, exported: Path, tmp_path: Path) -> None:
    """Networks of extensions may have them, such as BatchNorm's counter."""
    net = cast(DeblurNet, torch.nn.BatchNorm2d(3))
    net.frames, net.size_multiple = 1, 1
    net.get_buffer("num_batches_tracked").fill_(100_001)
    write_export(tmp_path, net, read_export(exported / WEIGHTS), half)
    state = net_state(read_export(tmp_path / WEIGHTS))
    assert torch.equal(state["num_batches_tracked"], torch.tensor(100_001))
    assert state["weight"].dtype == (torch.float16 if half else torch.float32)


def test_weights_beyond_half_precision_are_refused(tmp_path: Path) -> None:
    module = module_of(SRNDeblur)
    with torch.no_grad():
        next(module.net.parameters()).fill_(1e5)
    with pytest.raises(DeblurzooError, match=r"above 65504, .*export without --half"):
        export(checkpoint_of(module, tmp_path), tmp_path / "half", onnx=False, half=True)
    assert not (tmp_path / "half").exists()


HUB = """
import sys, torch
from huggingface_hub import PyTorchModelHubMixin
from deblurzoo.nets import SRN

class Hub(SRN, PyTorchModelHubMixin):
    pass

net = Hub.from_pretrained(sys.argv[1])
torch.save(net.state_dict(), sys.argv[2])
net.save_pretrained(sys.argv[3])
"""


@pytest.mark.processes
def test_the_hub_mixin_reads_an_export_and_writes_the_same_weights(exported: Path, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    state, theirs = tmp_path / "state.pt", tmp_path / "theirs"
    subprocess.run([sys.executable, "-c", HUB, exported, state, theirs], check=True)
    expected = load_any(exported).state_dict()
    actual = torch.load(state, weights_only=True)
    assert actual.keys() == expected.keys()
    assert all(torch.equal(actual[name], expected[name]) for name in expected)
    (theirs / CONFIG).write_bytes((exported / CONFIG).read_bytes())
    assert all(torch.equal(tensor, expected[name]) for name, tensor in load_any(theirs).state_dict().items())


def test_a_moving_average_is_what_is_exported(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    options = [f"data.root={toy}", "trainer=cpu", "trainer.max_steps=2", "trainer.val_check_interval=2", "logger=csv"]
    options += ["model.net.kernel_size=3", "model.net.blocks=1", "model.net.width=0.125", "datamodule.batch_size=2"]
    options += [
        "datamodule.augmentation.crop=16",
        "datamodule.workers=0",
        "callbacks=ema",
        "name=ema",
        "model.optimizer.lr=0.1",
    ]
    trained = deblurzoo("train", "model=srn", "data=toy", *options)
    assert trained.returncode == 0, trained.stderr
    done = deblurzoo("export", "--checkpoint", "runs/ema", "--out", "exported")
    assert done.returncode == 0, done.stderr
    (file,) = (tmp_path / "runs" / "ema" / "checkpoints").iterdir()
    checkpoint = torch.load(file, weights_only=True)
    averaged, current = checkpoint["state_dict"], checkpoint["current_model_state"]
    state = load_any(tmp_path / "exported").state_dict()
    assert all(torch.equal(state[name], averaged[f"net.{name}"]) for name in state)
    assert any(not torch.equal(state[name], current[f"net.{name}"]) for name in state)
    evaluated = deblurzoo(
        "evaluate",
        "checkpoint=exported",
        "data=toy",
        f"data.root={toy}",
        "trainer=cpu",
        "datamodule.workers=0",
        "pictures=0",
    )
    assert evaluated.returncode == 0, evaluated.stderr
    assert (tmp_path / "exported" / "evaluate" / "toy_blur" / "results.json").is_file()


@pytest.mark.processes
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *((kind, {}) for kind in TINY),
        (SVRNNDeblur, {"resize": "caffe"}),
        (SRNDeblur, {"padding": "same", "resize": "tf1"}),
        (SRNDeblur, {"padding": "same", "resize": "tf1", "channels": 1, "bottleneck": "none"}),
        (FlowRNNDeblur, {"fill": "zeros"}),
        (Liu2016Deblur, {"resize": "caffe"}),
    ],
)
def test_onnx_agrees_with_torch_at_any_size(kind: type[DeblurModule], options: dict[str, Any], tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    module, out = module_of(kind, **options), tmp_path / "exported"
    differences = export(checkpoint_of(module, tmp_path), out, onnx=True)
    assert sorted(differences) == ["256x256", "333x517"]
    assert max(differences.values()) <= 1e-4
    blur = torch.rand(1, module.net.frames, 3, 17, 130)
    session = onnxruntime.InferenceSession(out / "model.onnx")
    (image,) = session.run(["image"], {"blur": blur.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(image), module.restore(blur), rtol=0, atol=1e-4)
        for parameter in module.net.parameters():
            parameter.mul_(1.01)
    assert min(largest_difference(module.net, out / "model.onnx").values()) > 1e-4  # a wrong file is detected


def test_what_exists_is_not_overwritten(exported: Path) -> None:
    before = (exported / WEIGHTS).read_bytes()
    with pytest.raises(DeblurzooError, match=r"exported exists already: remove it or choose another folder"):
        export(exported, exported, onnx=False)
    assert (exported / WEIGHTS).read_bytes() == before


def test_a_failed_export_leaves_nothing(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DeblurzooError, match=r"pip install 'deblurzoo\[onnx\]'"):
        export(exported, tmp_path / "other", onnx=True)
    assert sorted(tmp_path.iterdir()) == before


def rewritten(exported: Path, **facts: object) -> None:
    config = json.loads((exported / CONFIG).read_text())
    config["deblurzoo"] |= facts
    (exported / CONFIG).write_text(json.dumps(config))


def test_exports_that_are_not_ours_are_refused(exported: Path) -> None:
    rewritten(exported, network="svrnn")
    with pytest.raises(DeblurzooError, match=r"does not fit SVRNN .*blocks is not an argument of .*SVRNN"):
        load_any(exported)
    rewritten(exported, module="Restormer", network=None)
    with pytest.raises(DeblurzooError, match="Restormer is not a Module of deblurzoo or of a trusted package"):
        load_any(exported)
    rewritten(exported, frames="2")
    with pytest.raises(DeblurzooError, match=r"json cannot be used \(deblurzoo\.frames=2: .* a valid integer\)"):
        load_any(exported)
    (exported / CONFIG).write_text('{"architectures": ["BertModel"]}')
    with pytest.raises(DeblurzooError, match=r"config\.json cannot be used \(deblurzoo: Field required\)"):
        load_any(exported)
    for text in ("[]", "{", ""):
        (exported / CONFIG).write_text(text)
        with pytest.raises(DeblurzooError, match=r"config\.json"):
            load_any(exported / WEIGHTS)
    (exported / CONFIG).unlink()
    with pytest.raises(DeblurzooError, match=r"written by `deblurzoo export`, with model\.safetensors and config"):
        load_any(exported)


def test_weights_that_do_not_fit_are_refused(exported: Path) -> None:
    config = json.loads((exported / CONFIG).read_text())
    (exported / CONFIG).write_text(json.dumps(config | {"width": 0.25}))
    with pytest.raises(
        DeblurzooError, match=r"does not fit SRN .*at_scale\S+ is \(4,.*in the file, \(8,.*in the network"
    ):
        load_any(exported)
    (exported / CONFIG).write_text(json.dumps(config | {"colour": "red"}))
    with pytest.raises(DeblurzooError, match=r"does not fit SRN .*colour"):
        load_any(exported)
    (exported / CONFIG).write_text(json.dumps(config | {"bottleneck": "none"}))
    with pytest.raises(DeblurzooError, match=r"gates\.\w+ is .* in the file, unknown in the network and 1 more"):
        load_any(exported)
    whole = (exported / WEIGHTS).read_bytes()
    for damaged in (whole[:-100], b"", b"PK" + whole):
        (exported / WEIGHTS).write_bytes(damaged)
        with pytest.raises(DeblurzooError, match=r"model\.safetensors cannot be read"):
            load_any(exported)


def test_the_command_refuses_what_is_no_checkpoint(deblurzoo: Run, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    for given, message in (("photo.jpg", "cannot be read"), (".", "give a run folder, a .ckpt file, wandb:")):
        done = deblurzoo("export", "--checkpoint", given, "--out", "exported")
        assert done.returncode != 0
        assert message in done.stderr and "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]
