"""An endless, shuffled stream of real faces that resumes at the exact picture."""

import math
import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from stylegan2.image import from_uint8
from train.core.config import DataConfig
from train.core.processes import number_and_count
from train.data.images import WHOLE, ImageSource, decode_image, in_validation
from train.errors import DatasetError


@dataclass(frozen=True)
class ReaderPosition:
    """How far one worker has read: whole passes, and pictures of the pass after them."""

    epoch: int = 0
    offset: int = 0


class ImageStream(IterableDataset[tuple[Tensor, int, int, int]]):
    """Endless batches of pictures from one worker's share of a source.

    Every pass shuffles the shards, then the pictures within a buffer, from a seed that follows from `seed`,
    the pass and the worker: a position is enough to go on from there. Where there are more workers than
    shards, several read the same ones, and each takes other pictures of them.

    Args:
        source: Where from.
        size: Side in pixels that the pictures are shrunk to.
        batch_size: Pictures a batch.
        validation_fraction: Share of the pictures that is left out, see `in_validation`.
        buffer: Pictures in the shuffle buffer; a folder's files are shuffled as a whole besides.
        seed: Of all shuffling.
        positions: Where each worker of this process starts.
        delivered: Batches delivered before: the next one comes from worker `delivered % len(positions)`.
        process: Number of this process and how many there are: together, their workers share the source.

    Raises:
        DatasetError: There are fewer pictures in a folder than workers.
    """

    def __init__(
        self,
        source: ImageSource,
        size: int,
        batch_size: int,
        *,
        validation_fraction: float,
        buffer: int,
        seed: int,
        positions: list[ReaderPosition],
        delivered: int,
        process: tuple[int, int] = (0, 1),
    ) -> None:
        super().__init__()
        self._first, self._readers = process[0] * len(positions), process[1] * len(positions)
        if self._readers > len(source.files) and not source.shards:
            raise DatasetError(
                f"{source.name}: {self._readers} workers for {len(source.files)} pictures; "
                "must be as many or fewer, over all processes"
            )
        self.source, self.size, self.batch_size = source, size, batch_size
        self.validation_fraction = validation_fraction
        self.buffer, self.seed, self.positions, self.delivered = buffer, seed, positions, delivered

    def __iter__(self) -> Iterator[tuple[Tensor, int, int, int]]:
        """Yield pixels [batch_size, size, size, 3] uint8, the worker, and its position after the batch."""
        info = get_worker_info()
        worker = ((info.id if info else 0) + self.delivered) % len(self.positions)
        batch: list[np.ndarray] = []
        for key, encoded, position in self._samples(worker):
            batch.append(decode_image(encoded, self.size, f"{self.source.name}: {key}"))
            if len(batch) == self.batch_size:
                yield torch.from_numpy(np.stack(batch)), worker, position.epoch, position.offset
                batch = []

    def _samples(self, worker: int) -> Iterator[tuple[str, bytes, ReaderPosition]]:
        epoch, skip = self.positions[worker].epoch, self.positions[worker].offset
        reader = self._first + worker
        share, part = _share(self.source.files, reader, self._readers)
        while True:
            rng = random.Random(f"{self.seed}/{epoch}/{reader}")  # noqa: S311  (shuffling, no secret)
            files = rng.sample(share, len(share))
            offset = 0
            for key, encoded in self.source.samples(files, self.buffer, rng, part):
                if in_validation(key, self.validation_fraction):
                    continue
                offset += 1
                if offset > skip:
                    yield key, encoded, ReaderPosition(epoch, offset)
            if not offset:
                raise DatasetError(
                    f"{self.source.name}: no training pictures in the share of worker {reader}"
                )
            epoch, skip = epoch + 1, 0


class RealImages:
    """The training pictures, batch by batch, with a state to resume from.

    Args:
        source: Where from.
        size: Side in pixels that the pictures are shrunk to.
        batch_size: Pictures a batch.
        validation_fraction: Share of the pictures that is left out, see `in_validation`.
        buffer: Pictures in the shuffle buffer.
        seed: Of all shuffling.
        workers: Reading processes; 0 reads in this one. The order of the pictures depends on the number.
    """

    def __init__(
        self,
        source: ImageSource,
        size: int,
        batch_size: int,
        *,
        validation_fraction: float = 0.0,
        buffer: int = 1000,
        seed: int = 0,
        workers: int = 0,
    ) -> None:
        self._source, self._size, self._batch_size = source, size, batch_size
        self._validation_fraction = validation_fraction
        self._buffer, self._seed, self._workers = buffer, seed, workers
        self._positions = [ReaderPosition()] * max(1, workers)
        self._delivered = 0
        self._batches: Iterator[tuple[Tensor, int, int, int]] | None = None

    def next(self) -> Tensor:
        """Pixels [batch_size, size, size, 3] uint8 of the next batch.

        Raises:
            DatasetError: A shard or picture cannot be read, or there is none.
        """
        if self._batches is None:
            self._batches = self._open()
        pixels, worker, epoch, offset = next(self._batches)
        self._positions[worker] = ReaderPosition(epoch, offset)
        self._delivered += 1
        return pixels

    def state_dict(self) -> dict[str, object]:
        """Position of every worker, as plain values."""
        return {"delivered": self._delivered, "positions": [[p.epoch, p.offset] for p in self._positions]}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Go on where `state_dict` was taken.

        Raises:
            DatasetError: The state is of another number of workers.
        """
        positions, delivered = state["positions"], state["delivered"]
        if (
            not isinstance(positions, list)
            or not isinstance(delivered, int)
            or len(positions) != len(self._positions)
        ):
            raise DatasetError(
                f"data position {state}: not one of {len(self._positions)} workers; keep their number"
            )
        self._positions = [ReaderPosition(epoch, offset) for epoch, offset in positions]
        self._delivered, self._batches = delivered, None

    def _open(self) -> Iterator[tuple[Tensor, int, int, int]]:
        stream = ImageStream(
            self._source,
            self._size,
            self._batch_size,
            validation_fraction=self._validation_fraction,
            buffer=self._buffer,
            seed=self._seed,
            positions=list(self._positions),
            delivered=self._delivered,
            process=number_and_count(),
        )
        # A single process iterates directly: errors keep their type, nothing runs behind a checkpoint's back.
        if not self._workers:
            return iter(stream)
        return iter(
            DataLoader(stream, batch_size=None, num_workers=self._workers, worker_init_fn=_quiet_worker)
        )


def _share(files: tuple[str, ...], reader: int, readers: int) -> tuple[list[str], tuple[int, int]]:
    """What one of `readers` reads: some of the files, and which part of each, see `ImageSource.samples`.

    With fewer files than readers, as many groups as divide both evenly have files of their own, and within a
    group everyone takes as large a part of each. All pictures are then read equally often, though every group
    reads its files once for each member.
    """
    if readers <= len(files):
        return list(files[reader::readers]), WHOLE
    groups = math.gcd(readers, len(files))
    return list(files[reader % groups :: groups]), (reader // groups, readers // groups)


class PhaseImages:
    """The training pictures of a stage: a stream of its own for every phase.

    Args:
        source: Where from; None where no phase looks at real pictures.
        size: Side in pixels that the pictures are shrunk to.
        data: How they are read.
        seed: Of the first phase; each later one has the next.
    """

    def __init__(self, source: ImageSource | None, size: int, data: DataConfig, seed: int) -> None:
        self._source, self._size, self._data, self._seed = source, size, data, seed
        self._stream: RealImages | None = None

    def enter_phase(self, index: int, batch: int) -> None:
        """Begin the stream of a phase, of so many pictures a batch; with 0 it has none."""
        self._stream = None
        if batch and self._source is not None:
            self._stream = RealImages(
                self._source,
                self._size,
                batch,
                validation_fraction=self._data.validation_fraction,
                buffer=self._data.shuffle_buffer,
                seed=self._seed + index,
                workers=self._data.workers,
            )

    def next(self) -> Tensor | None:
        """The next batch, img [N, 3, size, size] in [-1, 1]; None in a phase without."""
        return None if self._stream is None else from_uint8(self._stream.next())

    def state_dict(self) -> dict[str, object] | None:
        """Where the stream stands; None in a phase without."""
        return None if self._stream is None else self._stream.state_dict()

    def load_state_dict(self, state: dict[str, object] | None) -> None:
        """Go on where `state_dict` was taken."""
        if self._stream is not None and state is not None:
            self._stream.load_state_dict(state)


def _quiet_worker(_: int) -> None:
    # Ctrl-C reaches every process of a terminal; stopping is the parent's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
