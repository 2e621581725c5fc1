from pathlib import Path

import pytest
import torch

from conftest import TINY_RUN, Run
from deblurzoo.errors import DeblurzooError
from deblurzoo.nets import SVRNN
from deblurzoo.training.svrnn import VGG16_LAYERS, initialise_from_vgg16

CHANNELS = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512]


@pytest.fixture(scope="module")
def vgg16(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with the keys and shapes of VGG-16 and random values."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for index, inputs, outputs in zip(VGG16_LAYERS.values(), CHANNELS, CHANNELS[1:], strict=False):
        state[f"features.{index}.weight"] = torch.randn(outputs, inputs, 3, 3, generator=generator) / 100
        state[f"features.{index}.bias"] = torch.randn(outputs, generator=generator) / 100
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.save(state, path)
    return path


def test_conv3_to_conv11_become_vgg16s(vgg16: Path) -> None:
    net, state = SVRNN(), torch.load(vgg16, weights_only=True)
    before = net.weight_generation.conv12.weight.clone()
    initialise_from_vgg16(net.weight_generation, state)
    for number, index in ((3, 0), (5, 5), (9, 14), (11, 19)):
        layer = net.weight_generation.get_submodule(f"conv{number}")
        assert torch.equal(layer.weight, state[f"features.{index}.weight"])
        assert torch.equal(layer.bias, state[f"features.{index}.bias"])
    assert torch.equal(net.weight_generation.conv12.weight, before)


def test_other_widths_and_other_files_are_refused(vgg16: Path) -> None:
    state = torch.load(vgg16, weights_only=True)
    with pytest.raises(DeblurzooError, match=r"conv3 requires \(8, 3, 3, 3\): set model\.vgg16=null"):
        initialise_from_vgg16(SVRNN(width=0.125).weight_generation, state)
    with pytest.raises(DeblurzooError, match="is missing"):
        initialise_from_vgg16(SVRNN().weight_generation, {})


def test_training_starts_from_the_file_and_resumes_without_it(
    deblurzoo: Run, vgg16: Path, toy: Path, tmp_path: Path
) -> None:
    arguments = ["train", "experiment=svrnn_gopro", *TINY_RUN, f"data.root={toy}", "name=run"]
    frozen = "model.optimizer.lr=0"
    done = deblurzoo(*arguments, f"model.vgg16={vgg16}", "trainer.max_steps=1", frozen)
    assert done.returncode == 0, done.stderr
    assert "conv3 to conv11 are initialised from VGG-16" in done.stdout
    saved = torch.load(tmp_path / "runs/run/checkpoints/step_00000001.ckpt", weights_only=True)["state_dict"]
    state = torch.load(vgg16, weights_only=True)
    assert torch.equal(saved["net.weight_generation.conv3.weight"], state["features.0.weight"])
    done = deblurzoo(*arguments, "model.vgg16=/nowhere.pth", "trainer.max_steps=2", "resume=auto")
    assert done.returncode == 0, done.stderr


def test_offline_without_a_file_says_so_and_goes_on(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    variables = {"TORCH_HOME": str(tmp_path / "hub"), "https_proxy": "http://127.0.0.1:9"}
    arguments = ["train", "experiment=svrnn_gopro", *TINY_RUN, f"data.root={toy}", "trainer.max_steps=1", "name=run"]
    done = deblurzoo(*arguments, "model.net.width=0.125", **variables)
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).count("VGG-16 cannot be downloaded") == 1


def test_missing_file_is_named(deblurzoo: Run, toy: Path) -> None:
    arguments = ["train", "experiment=svrnn_gopro", *TINY_RUN, f"data.root={toy}", "trainer.max_steps=1", "name=run"]
    done = deblurzoo(*arguments, "model.vgg16=/nowhere.pth")
    assert done.returncode == 1 and "model.vgg16=/nowhere.pth cannot be read" in done.stderr
    assert "Traceback" not in done.stderr
