"""Training of SVRNN-Deblur and its baseline."""

import logging
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor

from deblurzoo.errors import DeblurzooError
from deblurzoo.nets import SVRNN, Liu2016
from deblurzoo.nets.svrnn import WeightGeneration
from deblurzoo.training.module import DeblurModule, Initialisation
from deblurzoo.training.pretrained import read_state

log = logging.getLogger(__name__)

VGG16_URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
"""URL of torchvision's ImageNet VGG-16; the file name ends with the first digits of its SHA-256."""
VGG16_LAYERS = dict(zip(range(3, 12), (0, 2, 5, 7, 10, 12, 14, 17, 19), strict=True))
"""Numbers of conv3 to conv11 of the paper, mapped to the indices of conv1_1 to conv4_2 in torchvision's `features`."""


class SVRNNDeblur(DeblurModule):
    """Training module of SVRNN-Deblur: the losses of the config, and initialisation from VGG-16.

    In the paper (section 3.2), conv3 to conv11 are initialised from VGG-16 and the other layers by Xavier. The authors'
    training script has the VGG weights commented out. We follow the paper. Neither weights nor input are rescaled:
    the network reads RGB in [0, 1].

    Args:
        net, optimizer, schedule, loss: as in `DeblurModule`.
        vgg16: file with torchvision's state dict of VGG-16, or `download`, which falls back to Xavier initialisation
            if offline; None for Xavier initialisation.
        initialisation: `torch`, or `caffe` for the code's version of Xavier's method, U(±sqrt(3 / inputs)).
        bias_rate: learning rate of biases, as a factor of the learning rate of weights; 2 in the code.
    """

    network = SVRNN
    net: SVRNN

    def __init__(
        self,
        net: dict[str, Any],
        optimizer: dict[str, Any] | None = None,
        schedule: dict[str, Any] | None = None,
        vgg16: str | None = None,
        loss: dict[str, float] | None = None,
        initialisation: Initialisation = "torch",
        bias_rate: float = 1.0,
    ) -> None:
        super().__init__(net, optimizer, schedule, loss)
        self.vgg16, self.bias_rate = vgg16, float(bias_rate)
        if initialisation == "caffe":
            self.net.initialise(caffe=True)

    def load_pretrained(self) -> None:
        """Initialise the weight generation network from VGG-16, if the variant has this network."""
        if self.vgg16 is None or self.net.variant == "no_rnns":
            return
        state = _download_vgg16() if self.vgg16 == "download" else _read_vgg16(Path(self.vgg16))
        if state is not None:
            initialise_from_vgg16(self.net.weight_generation, state)
            log.info("conv3 to conv11 are initialised from VGG-16")


class Liu2016Deblur(DeblurModule):
    """Training module of the ECCV 2016 baseline. As in the SVRNN paper, it is trained in the same way as SVRNN.

    The sample mask of the baseline's authors is omitted, because the SVRNN paper does not mention it.
    """

    network = Liu2016


def initialise_from_vgg16(weight_generation: WeightGeneration, state: dict[str, Tensor]) -> None:
    """Copy conv1_1 to conv4_2 of torchvision's VGG-16 state dict to conv3 to conv11.

    Raises:
        DeblurzooError: a layer is missing or has a different shape, for example if `width` is not 1.
    """
    for number, index in VGG16_LAYERS.items():
        layer = weight_generation.get_submodule(f"conv{number}")
        for name, parameter in layer.named_parameters():
            source = state.get(f"features.{index}.{name}")
            if source is None or source.shape != parameter.shape:
                there = "missing" if source is None else tuple(source.shape)
                raise DeblurzooError(
                    f"VGG-16's features.{index}.{name} is {there}, conv{number} requires {tuple(parameter.shape)}: "
                    "set model.vgg16=null, or use model.net.width=1 and a state dict of torchvision's vgg16"
                )
            with torch.no_grad():
                parameter.copy_(source)


def _read_vgg16(path: Path) -> dict[str, Tensor]:
    return read_state(path, "model.vgg16", "torchvision's state dict of VGG-16, download or null")


def _download_vgg16() -> dict[str, Tensor] | None:
    try:
        state: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
            VGG16_URL, map_location="cpu", check_hash=True, weights_only=True
        )
    except (RuntimeError, UnpicklingError) as error:  # a wrong hash, or a corrupt file from an earlier download
        raise DeblurzooError(
            f"the downloaded VGG-16 is corrupt ({error}): remove it from {torch.hub.get_dir()}/checkpoints, or set "
            "model.vgg16=FILE"
        ) from error
    except (URLError, OSError) as error:
        log.warning(
            "VGG-16 cannot be downloaded (%s): using Xavier initialisation; to use VGG-16, set model.vgg16=FILE", error
        )
        return None
    return state
