"""Check of PyTorch's untrusted files, before they are loaded.

`torch.load(weights_only=True)` runs no code of a file, but allows calls such as `bytearray(2**40)`, iterating over a
tensor with repeated values, and compressed files.
"""

import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import IO, Any, ClassVar

CORRUPT = "the file is corrupt, or is not a file of torch"
_LEGACY_PICKLES = 5
"""Number of pickles in files before version 1.6 of torch: number, version, system, content and names of storages."""
_PROTOCOL = 2
LARGEST_PICKLE = 2**22
"""Largest size of a pickle in bytes, without its last value. Checkpoints of NAFNet have 0.4 MB; reading 1 MB takes
seconds."""


def rehearse(path: Path) -> None:
    """Check that loading a file only calls functions that rebuild tensors, with memory in proportion to its size.

    Raises:
        ValueError: the file is damaged, compressed, not a file of torch, or contains other values than tensors and
            basic types; the message is one line.
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(2) == b"PK":
            for content in _pickles(path, size):
                _rehearse(BytesIO(content), size)
        else:
            file.seek(0)
            for _ in range(_LEGACY_PICKLES):
                _rehearse(file, size)


def _pickles(path: Path, size: int) -> list[bytes]:
    """Return the pickles of a zipped file.

    Raises:
        ValueError: a checksum is wrong, which torch does not verify, or the file is compressed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            compressed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
            if not compressed and sum(entry.file_size for entry in entries) > size:
                raise ValueError("entries overlap")
            damaged = None if compressed else archive.testzip()
            names = [] if compressed or damaged else archive.namelist()
            pickles = [archive.read(name) for name in names if name.lower().endswith(".pkl")]
    except Exception as error:  # zipfile raises exceptions of many types for damaged archives
        raise ValueError(CORRUPT) from error
    if compressed or damaged:
        raise ValueError(
            f"the checksum of {damaged} is wrong" if damaged else "it is compressed, unlike files of torch"
        )
    return pickles


_SUBSTITUTES: dict[str, Callable[..., Any]] = {"collections.OrderedDict": lambda: OrderedDict(), "torch.Size": tuple}
"""Substitutes that raise an exception where the original would iterate over a tensor, by name."""


class _Rehearsal(pickle._Unpickler):
    """Unpickler that creates no tensors, and that accepts only calls whose memory is in proportion to the file.

    Args:
        file: file at the start of a pickle.
        values: largest number of values in the storages that the pickle names.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]

    def __init__(self, file: IO[bytes], values: int) -> None:
        super().__init__(file)
        self.values, self.arguments, self.storages = values, LARGEST_PICKLE, set[Any]()

    def find_class(self, module: str, name: str) -> Any:
        """Return a substitute of the same signature for a function or type that torch writes into state dicts."""
        if substitute := _SUBSTITUTES.get(f"{module}.{name}"):
            return substitute
        of_torch = module == "torch" and (name.endswith("Storage") or name.islower())
        if of_torch or module in ("torch._utils", "torch._tensor", "torch.serialization", "torch.storage"):
            return lambda *arguments: None
        raise _UnknownCallError(f"loading it would call {module}.{name}")

    def persistent_load(self, pid: Any) -> None:
        """Return nothing in place of a storage, after counting its values."""
        _, _, key, _, count, *_ = pid
        if key not in self.storages:  # torch creates a storage for each key, even if the file has its bytes only once
            self.storages.add(key)
            self.values -= count
        if count < 0 or self.values < 0:
            raise ValueError("the storages have more values than the file has bytes")

    def load_reduce(self) -> None:
        """Call a substitute."""
        self._count(self.stack[-1])
        super().load_reduce()  # type: ignore[misc]  # unknown to mypy

    def load_build(self) -> None:
        """Set attributes."""
        self._count(self.stack[-1])
        super().load_build()  # type: ignore[misc]  # unknown to mypy

    dispatch[pickle.REDUCE[0]], dispatch[pickle.BUILD[0]] = load_reduce, load_build

    def _count(self, arguments: Any) -> None:
        """Count the values that a call copies: a pickle can give one long list to each of thousands of calls."""
        self.arguments -= len(arguments) if isinstance(arguments, tuple | list | dict) else 1
        if self.arguments < 0:
            raise ValueError("the calls have too many arguments")
        for inner in arguments if isinstance(arguments, tuple) else ():
            self._count(inner)


class _UnknownCallError(ValueError):
    """A function or type that is not part of a state dict."""


def _rehearse(file: IO[bytes], values: int) -> None:
    """Raise a ValueError unless the pickle at the position of a file only contains a state dict; move behind it."""
    start = file.tell()
    try:
        for operation, _, place in pickletools.genops(file):
            if operation.proto > _PROTOCOL or (place or 0) - start > LARGEST_PICKLE:
                raise ValueError("torch does not write such a pickle for a state dict")
        file.seek(start)
        _Rehearsal(file, values).load()
    except (_UnknownCallError, OSError):
        raise
    except Exception as error:  # pickle raises exceptions of many types for damaged files
        raise ValueError(CORRUPT) from error
