"""Training of SVRNN and FlowRNN with the numbers of the authors' Caffe solvers."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor, nn
from torch.utils.data import DataLoader

from deblurzoo.batch import Batch
from deblurzoo.commands.hydra_app import as_dicts
from deblurzoo.commands.train import make_module
from deblurzoo.files import conf_dir
from deblurzoo.ops.warp import warp
from deblurzoo.training.flow_rnn import FlowRNNDeblur
from deblurzoo.training.module import DeblurModule
from deblurzoo.training.svrnn import SVRNNDeblur

Arrays = dict[str, npt.NDArray[np.float64]]
LR, BETA1, BETA2, EPS, DECAY, CLIP = 1e-4, 0.9, 0.999, 1e-8, 1e-6, 5000.0
"""base_lr, momentum, momentum2, delta, weight_decay and clip_gradients of the prototxts."""
SIZES = {"svrnn_gopro": 16, "flow_dvd": 64}


def config(name: str) -> dict[str, Any]:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        tiny = [f"datamodule.augmentation.crop={SIZES[name]}", "model.net.width=0.125", "run=run"]
        cfg = compose("train", overrides=[f"experiment={name}", *tiny])
        return {"model": as_dicts(cfg.model), "clip": cfg.trainer.gradient_clip_val}


def caffe_loss(module: DeblurModule, batch: Batch) -> Tensor:
    """Return the loss of the authors' scripts: sums of squared errors, divided by twice the batch size."""
    restored = module.net(batch.blur)
    total = (restored.image - batch.sharp).square().sum()
    for flow in restored.flows:
        frame, other = (nn.functional.adaptive_avg_pool2d(one, flow.shape[-2:]) for one in batch.blur.unbind(1))
        total = total + (warp(other, flow) - frame).square().sum()
    return total / (2 * len(batch.sharp))


def caffe_step(weights: Arrays, gradients: Arrays) -> Arrays:
    """Return the weights after the first step of Adam: clipping, then weight decay on all weights, then the step."""
    norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
    found = {}
    for name, w in weights.items():
        g = gradients[name] * min(1.0, CLIP / norm) + DECAY * w
        m, v = (1 - BETA1) * g / (1 - BETA1), (1 - BETA2) * g**2 / (1 - BETA2)
        found[name] = w - LR * m / (np.sqrt(v) + EPS)
    return found


def arrays(tensors: dict[str, Tensor]) -> Arrays:
    return {name: tensor.detach().double().numpy().copy() for name, tensor in tensors.items()}


@pytest.mark.parametrize("contrast", [0.1, 10.0])
@pytest.mark.parametrize("name", SIZES)
def test_one_step_is_the_step_of_the_prototxt(name: str, contrast: float, tmp_path: Path) -> None:
    torch.manual_seed(0)
    settings, size = config(name), SIZES[name]
    module = make_module(settings["model"])
    module.net.double()
    frames = contrast * torch.rand(2, module.net.frames, 3, size, size, dtype=torch.float64)
    batch = Batch(frames, frames[:, 0].flip(-1), ["a", "a"], ["1", "2"])
    loss, mse = caffe_loss(module, batch), (module.net(frames).image - batch.sharp).square().mean()
    loss.backward()
    parameters = dict(module.net.named_parameters())
    gradients = {key: np.zeros(p.shape) if p.grad is None else p.grad.numpy().copy() for key, p in parameters.items()}
    norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
    assert (norm > CLIP) == (contrast == 10)
    expected = caffe_step(arrays(parameters), gradients)
    module.zero_grad()
    trainer = pl.Trainer(
        max_steps=1, gradient_clip_val=settings["clip"], precision="64-true", accelerator="cpu", logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(module, DataLoader([batch], batch_size=None))
    assert trainer.global_step == 1
    for key, w in arrays(dict(module.net.named_parameters())).items():
        np.testing.assert_allclose(w, expected[key], rtol=0, atol=1e-6 * LR, err_msg=key)
    assert float(trainer.logged_metrics["train/mse"]) == pytest.approx(mse.item(), rel=1e-5)
    assert float(trainer.logged_metrics["train/loss"]) == pytest.approx(loss.item() / (1.5 * size**2), rel=1e-5)


def test_initialisation_of_caffe_depends_on_the_inputs_only() -> None:
    svrnn, flow_rnn = SVRNNDeblur({}, initialisation="caffe").net, FlowRNNDeblur({}, initialisation="caffe").net
    for layer in (svrnn.conv16, svrnn.conv22, flow_rnn.d_conv3_2, flow_rnn.flow_net.rnnw2):
        bound = (3 / (layer.in_channels * layer.kernel_size[0] ** 2)) ** 0.5
        assert 0.97 * bound < layer.weight.abs().max() <= bound
    assert flow_rnn.flow_net.conv6.weight.std().item() == pytest.approx((2 / (9 * 192)) ** 0.5, rel=0.01)
    assert not any(p.any() for net in (svrnn, flow_rnn) for name, p in net.named_parameters() if name.endswith("bias"))


def test_biases_can_learn_twice_as_fast_and_some_can_be_frozen() -> None:
    module = FlowRNNDeblur({}, {"lr": 1e-3}, {"steps": 10}, bias_rate=2, frozen_biases=True)
    weights, biases = module.configure_optimizers().param_groups
    assert (weights["lr"], biases["lr"]) == (1e-3, 2e-3)
    names = {id(p): name for name, p in module.named_parameters()}
    assert all(names[id(p)].endswith("bias") for p in biases["params"])
    assert len(weights["params"]) + len(biases["params"]) == len(names)
    frozen = [p for p in module.parameters() if not p.requires_grad]
    assert sum(p.numel() for p in frozen) == 550 and not any(p.any() for p in frozen)
    assert len(FlowRNNDeblur({}, {"lr": 1e-3}, {"steps": 10}).configure_optimizers().param_groups) == 1
