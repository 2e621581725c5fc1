"""Export as `model.safetensors` and `config.json`, the layout of huggingface_hub's `PyTorchModelHubMixin`.

The top level of `config.json` holds the network's keyword arguments, which the mixin passes to the class. The key
`deblurzoo` holds the metadata that deblurzoo needs; the mixin ignores this key.
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


def write_export(folder: Path, net: DeblurNet, trained: dict[str, Any], half: bool = False) -> None:
    """Write a network and the metadata of its checkpoint to a folder, without pickle.

    Args:
        folder: an existing folder.
        net: the network, with the weights to be written.
        trained: the content of the checkpoint, from `read_trained`.
        half: whether to store tensors of floats as float16.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    if half:
        state = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
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
            **{key: facts for key in ("lineage", "origin") if (facts := trained["deblurzoo"].get(key))},
        },
    }
    write_atomically(folder / WEIGHTS, save(state, metadata={"format": "pt"}))
    write_atomically(folder / CONFIG, (json.dumps(config, indent=2) + "\n").encode())
