"""Import of weights that the authors of a network published, from the formats of their frameworks."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from deblurzoo.errors import DeblurzooError, few_of, first_line, require_utf8
from deblurzoo.export.safetensors import write_export
from deblurzoo.extensions import MODULES, NETWORKS, resolve
from deblurzoo.files import is_there, new_folder, require_readable, sha256
from deblurzoo.nets.base import DeblurNet, build_network
from deblurzoo.reports.results import Origin
from deblurzoo.weights import caffe, matlab, pytorch, tensorflow
from deblurzoo.weights.mappings import TARGETS, Layout, Target


class Format(NamedTuple):
    """A file format, and the networks whose weights are published in it or in a format of the same framework."""

    name: str
    read: Callable[[Path], dict[str, npt.NDArray[Any]]]
    networks: tuple[str, ...]


OF_CAFFE = ("svrnn", "flow_rnn", "liu2016")
FORMATS = {
    ".index": Format("TensorFlow checkpoint", tensorflow.read, ("srn",)),
    ".caffemodel": Format("Caffe model", caffe.read, OF_CAFFE),
    ".mat": Format("MATLAB file", matlab.read, OF_CAFFE),
    ".pth": Format("PyTorch file", pytorch.read, ("nafnet",)),
}
"""Formats by file suffix."""
LARGEST = 2**30
"""Largest size of a file, in bytes."""
_LONGEST_REASON = 500
"""Largest number of characters of a reason in a message."""
_STEP = re.compile(r"(?:model-|_iter_|net_g_)(\d{1,12})$")
"""The training step in the names of TensorFlow's, Caffe's and BasicSR's files."""


class Imported(NamedTuple):
    """The outcome of an import: the network's class, its tensors and parameters, and the number of skipped tensors."""

    network: str
    tensors: int
    parameters: int
    skipped: int


def import_weights(source: Path, network: str, out: Path, layout: Layout | None = None) -> Imported:
    """Create an export folder from a file of the authors of a network; see `docs/weights.md`.

    Args:
        source: a file of one of `FORMATS`, or a folder with one TensorFlow checkpoint.
        network: a key of `TARGETS`.
        out: folder to create; it is written completely or not at all.
        layout: see `Layout`; None is `columns`. Only for files of Caffe and MATLAB.

    Raises:
        DeblurzooError: the file cannot be read, a tensor is missing, unknown or of a different shape, or `out` exists.
    """
    file = _file_of(source, network)
    kind = FORMATS[file.suffix]
    if network not in kind.networks:
        raise DeblurzooError(
            f"{file} is a {kind.name}, which cannot contain {network}: set --network to "
            f"{' or '.join(kind.networks)}, or give {_sources_of(network)}"
        )
    if layout and network not in OF_CAFFE:
        raise DeblurzooError(f"--layout={layout} has no effect on a {kind.name}: remove the option")
    try:
        tensors, files = _read(file, kind)
        target = TARGETS[network](tensors, layout or "columns")
        net, skipped = _filled(target, tensors)
    except (ValueError, OSError) as error:
        reason = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) else _one_line(error)
        raise DeblurzooError(
            f"{file} cannot be imported as {network} ({reason}): download it again, and check --network"
        ) from error
    origin = Origin(
        format=kind.name,
        files={path.name: sha256(path) for path in files},
        layout=(layout or "columns") if network in OF_CAFFE else None,
        skipped=len(skipped),
    )
    facts = {
        "module": network if network in MODULES else "any",
        "blur_folder": target.blur_folder,
        "origin": origin.model_dump(),
    }
    step = _STEP.search(file.stem)
    trained = {"deblurzoo": facts, "global_step": int(step[1]) if step else 0}
    with new_folder(out) as folder:
        write_export(folder, net, {**trained, "hyper_parameters": {"net": target.arguments}})
    state = net.state_dict()
    return Imported(type(net).__name__, len(state), sum(tensor.numel() for tensor in state.values()), len(skipped))


def _one_line(error: ValueError) -> str:
    """Return the reason why a file cannot be imported; it may contain names of the file, of any length and content."""
    text = repr(str(error))[1:-1] if not str(error).isprintable() else str(error)
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]} …"


def _sources_of(network: str) -> str:
    """Return a description of the sources of a network's weights, for messages."""
    suffixes = [suffix for suffix, kind in FORMATS.items() if network in kind.networks]
    folder = ", or a folder with one TensorFlow checkpoint" if ".index" in suffixes else ""
    return f"a file {' or '.join(suffixes)}{folder}"


def _file_of(source: Path, network: str) -> Path:
    """Return the file to read: `source`, or the index of the TensorFlow checkpoint in this folder."""
    require_utf8(source.name)
    wanted = _sources_of(network)
    if not source.is_dir():
        if not source.is_file():
            problem = "is not a file" if is_there(source) else "does not exist"
            raise DeblurzooError(f"{source} {problem}: give {wanted}")
        if source.suffix not in FORMATS:
            raise DeblurzooError(f"{source} has an unknown format: give {wanted}, and unpack archives first")
        return source
    if network not in FORMATS[".index"].networks:
        raise DeblurzooError(f"{source} is a folder: give {wanted}")
    require_readable(source)
    found = sorted(source.glob("*.index"))
    if len(found) != 1:
        names = few_of([path.name for path in found]) or "none"
        raise DeblurzooError(
            f"{source} must contain one TensorFlow checkpoint, but it has {names}: give an .index file"
        )
    return found[0]


def _read(file: Path, kind: Format) -> tuple[dict[str, npt.NDArray[Any]], list[Path]]:
    """Return the tensors of a file, and all files that were read."""
    files = tensorflow.files(file) if kind.read is tensorflow.read else [file]
    if odd := [path for path in files if not path.is_file()]:  # reading a pipe could wait for ever
        raise ValueError(f"{odd[0].name} is not a file")
    if max(path.stat().st_size for path in files) > LARGEST:
        raise ValueError(f"it has more than {LARGEST:,} bytes")
    return kind.read(file), files


def _filled(target: Target, tensors: Mapping[str, npt.NDArray[Any]]) -> tuple[DeblurNet, list[str]]:
    """Return the network with the tensors of a file, and the names of the skipped tensors.

    Raises:
        ValueError: a tensor is missing, unknown, of a different shape, or not finite.
    """
    net = _unfilled(target)
    needed = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    places = {ours: theirs for theirs, ours in target.names.items()}
    skipped = [name for name in tensors if re.fullmatch(target.unused, name)]
    wanted = [*target.names, *(name for name in needed if name not in places)]
    if missing := [name for name in wanted if name not in tensors]:
        raise ValueError(f"it has no tensor {few_of(missing)}")
    if unknown := [name for name in tensors if target.names.get(name) not in needed and name not in skipped]:
        raise ValueError(f"its tensor {few_of(unknown)} is not in the network")
    state = {}
    for ours, shape in needed.items():
        theirs = places[ours]
        transposed = isinstance(net.get_submodule(ours.rpartition(".")[0]), nn.ConvTranspose2d)
        state[ours] = _converted(target, theirs, tensors[theirs], shape, transposed)
    net.load_state_dict(state, assign=True)
    return net, skipped


def _unfilled(target: Target) -> DeblurNet:
    """Return the network without memory for its weights, because a file's sizes are untrusted."""
    network = resolve(NETWORKS.get(target.network, target.network), nn.Module)
    try:
        with torch.device("meta"):
            return build_network(network, target.arguments)
    except (RuntimeError, DeblurzooError) as error:
        raise ValueError(f"its sizes are not valid: {first_line(error)}") from error


def _converted(target: Target, name: str, tensor: npt.NDArray[Any], shape: tuple[int, ...], transposed: bool) -> Tensor:
    """Return a tensor of a file in the network's shape, axes and channel order."""
    if len(shape) == 1 and max(tensor.shape, default=0) == tensor.size:  # Caffe's biases may have four axes
        tensor = tensor.reshape(-1)
    expected = tuple(shape[target.axes.index(axis)] for axis in range(4)) if len(shape) == 4 else shape
    if tensor.shape != expected:
        raise ValueError(f"its tensor {name} is {tensor.shape}, and not {expected} as in the network")
    with np.errstate(over="ignore"):  # of float64, becomes infinite
        converted = np.ascontiguousarray(target.convert(name, tensor, transposed), np.float32)
    if tensor.dtype.kind != "f" or not np.isfinite(converted).all():
        raise ValueError(f"its tensor {name} has values that are not finite numbers of float32")
    return torch.from_numpy(converted)
