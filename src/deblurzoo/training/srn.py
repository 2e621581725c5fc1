"""Training of SRN-DeblurNet."""

from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from deblurzoo.batch import Batch, Restored
from deblurzoo.errors import DeblurzooError
from deblurzoo.nets import SRN
from deblurzoo.nets.blocks import luminance
from deblurzoo.training.losses import Term
from deblurzoo.training.module import DeblurModule


class SRNDeblur(DeblurModule):
    """Training module of SRN-DeblurNet: losses at every scale, and gradient clipping in the recurrent cell.

    Args:
        net, optimizer, schedule, loss: as in `DeblurModule`.
        clip_lstm_norm: maximum global gradient norm of the recurrent cell's parameters; None for no maximum. The paper
            (section 3.3) clips at 3; the authors' code implements clipping but disables it (`is_gradient_clip`).
        luminance: whether to train on the luminance of the crops, as the authors train their networks with one channel.

    Raises:
        DeblurzooError: `luminance` is set, but the network has three channels.
    """

    network = SRN
    net: SRN

    def __init__(
        self,
        net: dict[str, Any],
        optimizer: dict[str, Any] | None = None,
        schedule: dict[str, Any] | None = None,
        clip_lstm_norm: float | None = 3.0,
        loss: dict[str, float] | None = None,
        luminance: bool = False,
    ) -> None:
        super().__init__(net, optimizer, schedule, loss)
        self.clip_lstm_norm, self.luminance = clip_lstm_norm, luminance
        if luminance and self.net.channels != 1:
            raise DeblurzooError("model.luminance=true requires a network with one channel: set model.net.channels=1")

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one batch of crops, of their luminance if set; see `DeblurModule`."""
        if self.luminance:
            batch = batch._replace(blur=luminance(batch.blur), sharp=luminance(batch.sharp))
        return super().training_step(batch, batch_idx)

    def losses(self, restored: Restored, batch: Batch) -> dict[str, Term]:
        """Return the losses of the config at every scale."""
        return self.weighted_losses.at_each_scale(restored.pyramid, batch.sharp, self.net.resize)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip the gradients of the recurrent cell. Lightning has already unscaled the gradients."""
        if self.clip_lstm_norm is not None and (recurrent := self.net.recurrent_parameters()):
            nn.utils.clip_grad_norm_(recurrent, self.clip_lstm_norm)
