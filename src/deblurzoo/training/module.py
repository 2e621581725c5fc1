"""Base Lightning modules: training step, validation, optimiser, schedule, and restoration of whole images."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import Optimizer
from torchmetrics import MeanMetric

from deblurzoo.batch import Batch, Restored, restored_by
from deblurzoo.errors import DeblurzooError, first_line
from deblurzoo.extensions import imported, name_of
from deblurzoo.media.images import ImageFile
from deblurzoo.metrics import metric
from deblurzoo.metrics.batches import image_metrics, to_uint8
from deblurzoo.nets.base import DeblurNet, build_network, restore_any_size, restored_any_size
from deblurzoo.ops.warp import end_point_error, enlarge
from deblurzoo.training.losses import Term, WeightedLosses, negative_psnr
from deblurzoo.training.schedules import factor
from deblurzoo.version import __version__

Initialisation = Literal["torch", "caffe"]
"""Initialisation of layers: the methods of the papers in torch's or in Caffe's version."""
ADAM = "torch.optim.Adam"
"""Default optimiser, and the optimiser of every checkpoint of version 0.1."""


class RestoringModule(pl.LightningModule):
    """Lightning module that restores whole images."""

    def __init__(self, net: DeblurNet) -> None:
        super().__init__()
        self.net = net

    def restore(self, blur: Tensor) -> Tensor:
        """Return images (B, 3, H, W) restored from frames (B, T, 3, H, W) of any size, see `restore_any_size`."""
        return restore_any_size(self.net, blur)

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the restored whole frames; a callback measures and saves them."""
        return self.restore(batch.blur)


class ReadingModule(pl.LightningModule):
    """Lightning module that reads the restored image of each frame from a file.

    Args:
        files: the image file of each clip and frame.
    """

    def __init__(self, files: Mapping[tuple[str, str], ImageFile]) -> None:
        super().__init__()
        self.files = files

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the restored image (1, 3, H, W), uint8."""
        image = self.files[batch.clip[0], batch.frame[0]].read()
        return torch.from_numpy(image).permute(2, 0, 1)[None]


class DeblurModule(RestoringModule):
    """Training module: a network with its losses, optimiser and schedule. Subclasses implement paper-specific training.

    Args:
        net: keyword arguments of the network. If the class attribute `network` is None, `_target_` names the network
            class: a subclass of torch.nn.Module with `frames` (1, 2 or 3), `size_multiple` and `forward`, see
            `DeblurNet`.
        optimizer: `_target_`, a subclass of torch.optim.Optimizer, and its keyword arguments.
        schedule: keyword arguments of `schedules.factor`.
        loss: weight of each loss, see `WeightedLosses`.

    All four arguments are dicts with values of JSON types and are saved in every checkpoint. A checkpoint's network is
    rebuilt from `net`. Training always takes `optimizer`, `schedule` and `loss` from the config, not from a checkpoint.
    """

    network: ClassVar[type[DeblurNet] | None] = None
    bias_rate: float = 1.0
    """Learning rate of biases, as a factor of the learning rate of weights."""

    def __init__(
        self,
        net: dict[str, Any],
        optimizer: dict[str, Any] | None = None,
        schedule: dict[str, Any] | None = None,
        loss: dict[str, float] | None = None,
    ) -> None:
        arguments = {key: value for key, value in net.items() if key != "_target_"}
        super().__init__(build_network(net.get("_target_", self.network), arguments))
        self.save_hyperparameters(logger=False)
        self.optimizer_arguments = {"_target_": ADAM, **(optimizer or {})}
        self.schedule_arguments = schedule or {}
        self.weighted_losses = WeightedLosses(loss or {"mse": 1.0})
        record = {"class" if key == "_target_" else key: value for key, value in self.optimizer_arguments.items()}
        self.hparams.update(net=arguments, optimizer=record, schedule=self.schedule_arguments, loss=loss or {})
        self.lineage: dict[str, Any] | None = None
        """The content of the `Lineage` of the initial weights, stored in every checkpoint."""
        self.val_input_metrics = image_metrics("psnr")
        self.val_epe, self.val_epe_of_zero = MeanMetric(), MeanMetric()
        self.watch(())

    def watch(self, metrics: Sequence[str]) -> None:
        """Set the validation metrics in addition to `psnr` and `ssim`. Each metric is logged as `val/NAME`.

        Raises:
            DeblurzooError: a metric is unknown.
        """
        self.val_metrics = image_metrics(*dict.fromkeys(("psnr", "ssim", *metrics)))

    @property
    def validated(self) -> dict[str, bool]:
        """The names of the metrics of every validation, and whether the highest value of each is the best."""
        return {f"val/{name}": metric(str(name)).higher_is_better for name in self.val_metrics} | {"val/gain": True}

    def load_pretrained(self) -> None:
        """Load a paper's pretrained weights, by default none; called before the first step of a run without `init`."""

    def losses(self, restored: Restored, batch: Batch) -> dict[str, Term]:
        """Return the named loss terms, whose weighted sum is minimised; by default the losses of the config."""
        return self.weighted_losses(restored.image, batch.sharp)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one batch of crops, the weighted sum of its terms, and log the terms without weights.

        The logged loss is divided by the largest weight. The losses of a mean and of a sum are therefore comparable.
        """
        restored = restored_by(self.net, batch.blur)
        terms = self.losses(restored, batch)
        loss = torch.stack([weight * value for value, weight in terms.values()]).sum()
        unit = max(weight for _, weight in terms.values()) or 1.0
        values = {
            "loss": loss / unit,
            **{name: value for name, (value, _) in terms.items()},
            "psnr": -negative_psnr(to_uint8(restored.image) / 255, batch.sharp),
        }
        # Averaged over devices (equal shares of the batch), so that all devices stop if one device's loss diverges.
        means = self.trainer.strategy.reduce(torch.stack([value.detach().float() for value in values.values()]))
        if not torch.isfinite(means[0]):
            self._refuse(loss, batch)
        size = len(batch.clip)
        self.log_dict({f"train/{name}": mean for name, mean in zip(values, means, strict=True)}, batch_size=size)
        self.log("train/lr", self.trainer.optimizers[0].param_groups[0]["lr"], batch_size=size)
        return loss

    def _refuse(self, loss: Tensor, batch: Batch) -> None:
        samples = ", ".join(f"{clip}/{frame}" for clip, frame in zip(batch.clip, batch.frame, strict=True))
        raise DeblurzooError(
            f"the loss is {loss.item()} at step {self.trainer.global_step}; the batch was {samples}. "
            "This step was not saved: set a lower model.optimizer.lr or trainer.precision=32-true, and continue with "
            "resume=auto or, from an earlier step, resume=CHECKPOINT"
        )

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Measure whole frames; return the restored images for callbacks that draw pictures."""
        image, flow = restored_any_size(self.net, batch.blur)
        if flow is not None and batch.flow is not None:
            self.val_epe.update(_error_of(flow, batch.flow, self.net.size_multiple))
            self.val_epe_of_zero.update(batch.flow.norm(dim=1).mean())
        blurry = batch.blur[:, 0]
        differs = (blurry != batch.sharp).flatten(1).any(1)  # identical images have nothing to restore
        self.val_metrics.update(image[differs], batch.sharp[differs])
        self.val_input_metrics.update(blurry[differs], batch.sharp[differs])
        return image

    def on_validation_epoch_end(self) -> None:
        """Log means over images: PSNR, SSIM, the metrics set by `watch`, and the PSNR gain over the blurry input.

        If the true flow is known and the network predicts flow, also log the end-point errors of this flow and of zero
        flow, in pixels.
        """
        before = self.val_input_metrics.compute()["psnr"]
        if before.isnan():
            raise DeblurzooError(
                "there is nothing to restore: in all validation pairs, the blurry and the sharp image are identical. "
                "Check that blur and sharp are different folders"
            )
        values = {f"val/{name}": value for name, value in self.val_metrics.compute().items()}
        values["val/gain"] = values["val/psnr"] - before
        if self.val_epe.update_called:
            values |= {"val/epe": self.val_epe.compute(), "val/epe_of_zero_flow": self.val_epe_of_zero.compute()}
        self.log_dict(values)
        for one in (self.val_metrics, self.val_input_metrics, self.val_epe, self.val_epe_of_zero):
            one.reset()

    def configure_optimizers(self) -> Optimizer:
        """Return the optimiser of the config; its learning rate is set in `on_train_batch_start`."""
        arguments = dict(self.optimizer_arguments)
        try:
            self._factor(0)
            kind = imported(arguments.pop("_target_"), Optimizer)
            optimizer = kind(self._parameter_groups(), **arguments)
            for group in optimizer.param_groups[1:]:
                group["lr"] *= self.bias_rate
        except (TypeError, ValueError, ArithmeticError) as error:
            raise DeblurzooError(f"model.optimizer or model.schedule is invalid: {first_line(error)}") from error
        settings = inspect.signature(kind).parameters
        # The remaining keys of a parameter group are optimiser state.
        self._settings = [{key: group[key] for key in settings if key in group} for group in optimizer.param_groups]
        return optimizer

    def _parameter_groups(self) -> list[dict[str, Any]]:
        """Return one group of all parameters or, if `bias_rate` is not 1, weights and biases as two groups."""
        if self.bias_rate == 1:
            return [{"params": [*self.parameters()]}]
        parameters = [*self.named_parameters()]
        return [{"params": [p for name, p in parameters if name.endswith("bias") == is_bias]}
                for is_bias in (False, True)]  # fmt: skip

    def _factor(self, step: int) -> float:
        return factor(step, **{"name": "polynomial", **self.schedule_arguments})

    def on_train_start(self) -> None:
        """Set the optimiser's hyperparameters to the config, because resuming restores the checkpoint's values."""
        optimizer: Optimizer = self.trainer.optimizers[0]
        for group, settings in zip(optimizer.param_groups, self._settings, strict=True):
            group.update({key: value for key, value in settings.items() if key != "params"})
        optimizer.load_state_dict(optimizer.state_dict())  # fused Adam needs step counts on the device

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set the learning rate of this step."""
        for group, settings in zip(self.trainer.optimizers[0].param_groups, self._settings, strict=True):
            group["lr"] = settings["lr"] * self._factor(self.trainer.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the class names of the module and the network, and the version of deblurzoo, in the checkpoint."""
        facts = {"module": name_of(type(self)), "network": name_of(type(self.net)), "version": __version__}
        lineage = {"lineage": self.lineage} if self.lineage else {}
        checkpoint.setdefault("deblurzoo", {}).update(facts, **lineage)  # callbacks also add keys


def _error_of(flow: Tensor, truth: Tensor, multiple: int) -> Tensor:
    """Return the mean end-point error of a predicted flow, whose frames were padded to a multiple of `multiple`."""
    height, width = truth.shape[-2:]
    whole = enlarge(flow, (height + -height % multiple, width + -width % multiple))
    return end_point_error(whole[..., :height, :width], truth).mean()
