"""A trained network for others: `model.safetensors` and `config.json`, the layout of PyTorchModelHubMixin.

The top level of `config.json` are the network's keyword arguments, which huggingface_hub's mixin hands to the class;
what deblurzoo needs besides is below `deblurzoo`, which the mixin ignores.
"""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save

from deblurzoo.extensions import current, name_of
from deblurzoo.files import write_atomically
from deblurzoo.nets.base import DeblurNet
from deblurzoo.training.checkpoints import CONFIG, WEIGHTS
from deblurzoo.version import __version__


def write_export(folder: Path, net: DeblurNet, trained: dict[str, Any]) -> None:
    """Write a network, rebuilt from what `read_trained` returned, into a folder; nothing is pickled."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    config = {
        **trained["hyper_parameters"]["net"],
        "deblurzoo": {
            "module": current(trained["deblurzoo"]["module"]),
            "network": name_of(type(net)),
            "frames": net.frames,
            "size_multiple": net.size_multiple,
            "blur_folder": trained["deblurzoo"]["blur_folder"],
            "step": trained["global_step"],
            "version": __version__,
        },
    }
    write_atomically(folder / WEIGHTS, save(state, metadata={"format": "pt"}))
    write_atomically(folder / CONFIG, (json.dumps(config, indent=2) + "\n").encode())
