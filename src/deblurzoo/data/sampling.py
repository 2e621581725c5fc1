"""Deterministic selection of training samples: a resumed run sees the same samples as an uninterrupted run."""

from collections.abc import Iterator, Mapping

import numpy as np
from torch.utils.data import Sampler

from deblurzoo.errors import DeblurzooError

BLOCK = 1000
"""Number of consecutive samples to which the shares of a mixture are rounded."""


class StepSampler(Sampler[list[int]]):
    """Batch sampler of sample numbers. Batch `b` has `batch_size` numbers, starting at `b * batch_size + shift`.

    Args:
        batch_size: number of samples per batch over all processes.
        start: index of the first batch.
        stop: number of batches of the whole run.
        rank, world_size: rank of this process and number of processes. Every process gets an equal share of each batch.
        shift: offset of all sample numbers, for a run that is resumed with a different batch size.
    """

    def __init__(
        self, batch_size: int, start: int, stop: int, rank: int = 0, world_size: int = 1, shift: int = 0
    ) -> None:
        self.batch_size, self.start, self.stop, self.shift = batch_size, start, stop, shift
        self.rank, self.share = rank, batch_size // world_size

    def __len__(self) -> int:
        """Return the number of batches of the whole run, regardless of `start`: Lightning counts batches from 0."""
        return self.stop

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the sample numbers of this process, one list per batch."""
        for batch in range(self.start, self.stop):
            first = self.shift + batch * self.batch_size + self.rank * self.share
            yield list(range(first, first + self.share))


class Shuffle:
    """Mapping from sample numbers to indices of `size` samples, with a new permutation for every epoch."""

    def __init__(self, seed: int, size: int) -> None:
        self.seed, self.size = seed, size
        self._cached: tuple[int, np.ndarray] | None = None

    def __getitem__(self, number: int) -> int:
        """Return the index of the sample with number `number`."""
        epoch, position = divmod(number, self.size)
        return int(self.permutation(epoch)[position])

    def permutation(self, epoch: int) -> np.ndarray:
        """Return the indices of all samples in the order of an epoch. The last permutation is cached."""
        if self._cached is None or self._cached[0] != epoch:
            self._cached = epoch, np.random.default_rng([self.seed, epoch]).permutation(self.size)
        return self._cached[1]


class Mixture:
    """Mapping from sample numbers to a part of a mixture and the number of the sample among the samples of this part.

    The samples are divided into blocks of about `BLOCK` samples. Each block contains every part as often as its weight
    demands, in a new random order. Therefore, the number of earlier samples of a part is known without drawing them.

    Args:
        seed: seed of the order of the parts.
        weights: positive weight of each part.

    Raises:
        DeblurzooError: a weight is so small that its part would never be drawn.
    """

    def __init__(self, seed: int, weights: Mapping[str, float]) -> None:
        self.parts = list(weights)
        total = sum(weights.values())
        self.counts = [round(BLOCK * weight / total) for weight in weights.values()]
        if 0 in self.counts:
            part = self.parts[self.counts.index(0)]
            raise DeblurzooError(
                f"data.weights.{part}={weights[part]} is less than one in {BLOCK} samples: set a larger weight, "
                "or 0 to leave the data set out"
            )
        self._owners = np.repeat(np.arange(len(self.parts)), self.counts)
        self._order = Shuffle(seed, len(self._owners))

    def __getitem__(self, number: int) -> tuple[str, int]:
        """Return the part of sample `number`, and the number of earlier samples of this part."""
        block, position = divmod(number, self._order.size)
        owners = self._owners[self._order.permutation(block)[: position + 1]]
        part = int(owners[-1])
        return self.parts[part], block * self.counts[part] + int(np.count_nonzero(owners[:-1] == part))


def sample_seed(seed: int, number: int) -> int:
    """Return the augmentation seed of sample number `number`."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
