"""Training data as a function of (seed, step, index): a resumed run sees what an uninterrupted one sees."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class StepSampler(Sampler[list[int]]):
    """Batches of sample numbers; sample number n is index n mod (batch size) of step n div (batch size).

    Args:
        batch_size: samples per batch, of all processes together.
        start: the first batch to give.
        stop: the number of batches of the whole run.
        rank, world_size: which share of each batch this process takes; all shares are of one size.
        shift: added to all sample numbers, after steps with batches of another size.
    """

    def __init__(
        self, batch_size: int, start: int, stop: int, rank: int = 0, world_size: int = 1, shift: int = 0
    ) -> None:
        self.batch_size, self.start, self.stop, self.shift = batch_size, start, stop, shift
        self.rank, self.share = rank, batch_size // world_size

    def __len__(self) -> int:
        """Return the batches of the whole run, also when it starts later: Lightning counts from 0."""
        return self.stop

    def __iter__(self) -> Iterator[list[int]]:
        """Give the sample numbers of this process, batch after batch."""
        for batch in range(self.start, self.stop):
            first = self.shift + batch * self.batch_size + self.rank * self.share
            yield list(range(first, first + self.share))


class Shuffle:
    """Which of `size` frames sample number n is: a new permutation for every pass over the data."""

    def __init__(self, seed: int, size: int) -> None:
        self.seed, self.size = seed, size
        self._cached: tuple[int, np.ndarray] | None = None

    def __getitem__(self, number: int) -> int:
        """Return the index of the frame for sample number `number`."""
        epoch, position = divmod(number, self.size)
        if self._cached is None or self._cached[0] != epoch:
            self._cached = epoch, np.random.default_rng([self.seed, epoch]).permutation(self.size)
        return int(self._cached[1][position])


def sample_seed(seed: int, number: int) -> int:
    """Return the seed of all random numbers that augment sample number `number`."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
