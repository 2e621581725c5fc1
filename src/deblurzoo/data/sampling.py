"""Deterministic selection of training samples: a resumed run sees the same samples as an uninterrupted run."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


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
        if self._cached is None or self._cached[0] != epoch:
            self._cached = epoch, np.random.default_rng([self.seed, epoch]).permutation(self.size)
        return int(self._cached[1][position])


def sample_seed(seed: int, number: int) -> int:
    """Return the augmentation seed of sample number `number`."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
