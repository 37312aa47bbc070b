"""Networks in training side by side: their sets, their random numbers and their updates."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from distillset.augment import Augmentation, Crop, DCAugmentation, Table, augment
from distillset.engine import SGD, Engine, Launch, State, side_by_side
from distillset.keys import Key, fold, permutation, words
from distillset.nets import seeded

Examples = Callable[[Tensor], Tensor]
"""Row numbers ``int64 [n]`` (on the engine's device) to normalised images ``float32 [n, C, H, W]`` there."""

AHEAD = 2**14
"""About so many images have their random numbers drawn at once: a draw costs the same for few as for many."""


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """What a network is trained on.

    Args:
        images: by row.
        labels: ``int64 [N]`` classes or ``float [N, classes]`` probabilities, one for each row.
        key: names the random streams: initial weights, order, augmentation, crops, dropout.
        on_device: whether ``images`` is tensor operations on the device alone.
        canvas: images across and down one of `images`, of which every use sees a crop drawn anew.
    """

    images: Examples
    labels: Tensor
    key: Key
    on_device: bool = True
    canvas: int = 1

    @classmethod
    def held(cls, images: Tensor, labels: Tensor, key: Key, canvas: int = 1) -> "TrainingSet":
        """The images of a tensor ``[N, C, H, W]``, on the engine's device."""
        return cls(lambda rows: images[rows], labels.to(images.device), key, canvas=canvas)

    def shape(self, device: torch.device) -> tuple[int, int, int]:
        """(C, H, W) of what a network sees."""
        channels, height, width = self.images(torch.zeros(1, dtype=torch.int64, device=device)).shape[1:]
        return channels, height // self.canvas, width // self.canvas


@dataclass(frozen=True)
class Update:
    """The random numbers of an update of ``k`` networks on ``n`` images each.

    Args:
        epoch, start: its place in the training.
        rows: int64 ``[k, n]``.
        streams: of an augmentation that is no strategy, int64 ``[k, 2]``.
        tables: how their images are augmented, network by network, or only the numbers of that; empty for an
            augmentation that is no strategy.
        crops: how their canvases are cropped, network by network; empty where there are none.
    """

    epoch: int
    start: int
    rows: Tensor
    streams: Tensor
    tables: list[Table | Tensor]
    crops: list[Crop]


def draw_orders(words: Tensor, epochs: Tensor, count: int) -> Tensor:
    """The orders of streams ``[k, 2]`` in some epochs: int64 ``[k, epochs, count]``."""
    return permutation(fold(words[:, None], epochs), count, count)


def draw_tables(
    words: Tensor, updates: Tensor, augmentation: Augmentation, shape: tuple[int, int, int], batch: int
) -> Tensor:
    """The rows of streams ``[k, 2]`` in some updates of ``batch`` images: ``[k * updates * batch, columns]``."""
    return augmentation.draw(fold(words[:, None], updates).flatten(0, 1), shape, batch).numbers


class Drawing:
    """How a trainer draws and augments, compiled where that is worth it; kept from one training to the next.

    Args:
        engine: says how.
        augmentation: a strategy, whose tables are drawn for many updates at once, or another one.
    """

    def __init__(self, engine: Engine, augmentation: Augmentation | DCAugmentation) -> None:
        self.augmentation = augmentation
        self.orders, self.tables = engine.draws(draw_orders), engine.draws(draw_tables)
        self.augment, self.otherwise = engine.draws(augment), engine.draws(self._otherwise)

    def _otherwise(self, images: Tensor, stream: Tensor, on_host: bool = False) -> Tensor:
        """By an augmentation that is no strategy."""
        assert isinstance(self.augmentation, DCAugmentation)
        count, channels, height, width = images.shape
        return self.augmentation.draw(stream, (channels, height, width), count, on_host).apply(images)


class Numbers:
    """The random numbers of a training, drawn for many updates at once.

    Args:
        sets: one per network, of one size.
        batch: most images of an update.
        epochs: in all.
        drawing: how.
        shape: (C, H, W) of what a network sees.
        device: where they are drawn.
        on_host: whether the host may look at what was drawn.
    """

    def __init__(
        self,
        sets: Sequence[TrainingSet],
        batch: int,
        epochs: int,
        drawing: Drawing,
        shape: tuple[int, int, int],
        device: torch.device,
        on_host: bool,
    ) -> None:
        self.sets, self.epochs, self.drawing = sets, epochs, drawing
        self.device, self.on_host = device, on_host
        self.count = len(sets[0].labels)
        self.batch = min(batch, self.count)
        self.starts = range(0, self.count, self.batch)
        self.shape = shape
        self.ahead = max(1, AHEAD // (len(sets) * self.count))

    def __iter__(self) -> Iterator[Iterator[Update]]:
        """The updates of each epoch."""
        updates = len(self.starts)
        for first in range(0, self.epochs, self.ahead):
            last = min(first + self.ahead, self.epochs)
            orders = self._orders(first, last)
            if self.ahead == 1:
                yield self.of(first, orders[:, 0])
                continue
            drawn = self._drawn(orders, first * updates, last * updates)
            for _ in range(first, last):
                yield itertools.islice(drawn, updates)

    def of(self, epoch: int, order: Tensor | None = None) -> Iterator[Update]:
        """The updates of one epoch, drawn for some of them at a time."""
        if order is None:
            order = self._orders(epoch, epoch + 1)[:, 0]
        updates = len(self.starts)
        ahead = max(1, AHEAD // (len(self.sets) * self.batch))
        for first in range(0, updates, ahead):
            last = min(first + ahead, updates)
            yield from self._drawn(order[:, None], epoch * updates + first, epoch * updates + last)

    def _drawn(self, orders: Tensor, first: int, last: int) -> Iterator[Update]:
        """The updates ``first`` to ``last - 1`` of the whole training; ``orders`` are those of their epochs."""
        updates, batch = len(self.starts), self.batch
        augmentation, crops = self.drawing.augmentation, None
        tables: Table | Tensor | None = None
        streams = self._words("augment")
        numbers = torch.arange(first, last, device=self.device)
        if isinstance(augmentation, Augmentation) and self.on_host:
            each = fold(streams[:, None], numbers).flatten(0, 1)
            tables = augmentation.draw(each, self.shape, batch, on_host=True)
        elif isinstance(augmentation, Augmentation):
            tables = self.drawing.tables(streams, numbers, augmentation, self.shape, batch)
        if (canvas := self.sets[0].canvas) > 1:
            each = fold(self._words("crop")[:, None], numbers).flatten(0, 1)
            crops = Crop.draw(each, batch, self.shape[1:], canvas)
        streams = fold(streams[:, None], numbers) if tables is None else streams[:, None].expand(-1, last - first, -1)
        for number in range(first, last):
            epoch, update = divmod(number, updates)
            start = self.starts[update]
            rows = orders[:, epoch - first // updates, start : start + batch]
            at = [(network * (last - first) + number - first) * batch for network in range(len(self.sets))]
            parts = [slice(begin, begin + rows.shape[1]) for begin in at]
            of_update: list[Table | Tensor] = [] if tables is None else [tables[part] for part in parts]
            cut = [] if crops is None else [replace(crops, corners=crops.corners[part]) for part in parts]
            yield Update(epoch, start, rows, streams[:, number - first], of_update, cut)

    def _orders(self, first: int, last: int) -> Tensor:
        orders: Tensor = self.drawing.orders(
            self._words("order"), torch.arange(first, last, device=self.device), self.count
        )
        return orders

    def _words(self, name: str) -> Tensor:
        """``[networks, 2]``."""
        return words([each.key(name) for each in self.sets], self.device)


Gradient = Callable[[State, Sequence[str], Sequence[Tensor], Tensor, int], State]


class Session:
    """Networks of one structure in training: on a GPU each update of all of them is one launch.

    Args:
        engine: says how to compute.
        gradient: as `Engine.gradient` gives it.
        trainable: names of the parameters that are trained.
        states: of the networks, trained where they stand.
        sets: one for each.
        optimiser: of the parameters of all, network by network.
        batch: most images of an update.
        drawing: how their images are augmented.
        shape: (C, H, W) of what a network sees.
        draws: whether the network draws random numbers when it is trained; then nothing is captured.
    """

    def __init__(
        self,
        engine: Engine,
        gradient: Gradient,
        trainable: Sequence[str],
        states: Sequence[State],
        sets: Sequence[TrainingSet],
        optimiser: SGD,
        batch: int,
        drawing: Drawing,
        shape: tuple[int, int, int],
        draws: bool,
    ) -> None:
        self.engine, self.gradient, self.trainable, self.states = engine, gradient, trainable, states
        self.sets = [replace(each, labels=each.labels.to(engine.device)) for each in sets]
        self.optimiser, self.batch, self.drawing = optimiser, batch, drawing
        self.shape, self.draws = shape, draws
        self.captures = engine.defers and not draws and all(each.on_device for each in sets)
        self._launches: dict[tuple[int, float], Launch] = {}
        self._weights: dict[int, Tensor] = {}

    def numbers(self, keys: Sequence[Key], epochs: int) -> Numbers:
        """The random numbers of a training of so many epochs."""
        sets = [replace(each, key=key) for each, key in zip(self.sets, keys, strict=True)]
        return Numbers(sets, self.batch, epochs, self.drawing, self.shape, self.engine.device, not self.captures)

    def update(self, numbers: Update, keys: Sequence[Key]) -> None:
        """One update of every network."""
        if not self.captures:
            self.optimiser.step(self.gradients(numbers, keys))
            return
        at = numbers.rows.shape[1], self.optimiser.lr
        if at not in self._launches:
            self._launches[at] = self.engine.launch(self._captured)
        self._launches[at](numbers.rows, numbers.streams, numbers.tables, [crop.corners for crop in numbers.crops])

    def gradients(self, numbers: Update, keys: Sequence[Key]) -> list[Tensor]:
        """The gradients of an update, network by network."""
        gradients = []
        for number, key in enumerate(keys):
            images = self._seen(numbers, number)
            if self.draws:
                with seeded(key("dropout", numbers.epoch, numbers.start)):
                    gradients += self._gradient(number, numbers.rows[number], images)
            else:
                gradients += self._gradient(number, numbers.rows[number], images)
        return gradients

    def _seen(self, numbers: Update, number: int) -> Tensor:
        images = self.sets[number].images(numbers.rows[number])
        if numbers.crops:
            images = numbers.crops[number].apply(images)
        seen: Tensor
        if not numbers.tables:
            seen = self.drawing.otherwise(images, numbers.streams[number], not self.captures)
        elif isinstance(table := numbers.tables[number], Table):
            seen = table.apply(images)
        else:
            seen = self._augmented(images, table)
        return seen

    def _augmented(self, images: Tensor, numbers: Tensor) -> Tensor:
        seen: Tensor = self.drawing.augment(images, numbers) if self.drawing.augmentation.strategy else images
        return seen

    def _captured(self, rows: Tensor, streams: Tensor, tables: list[Tensor], corners: list[Tensor]) -> None:
        calls = [partial(self._one, number, rows, streams, tables, corners) for number in range(len(self.states))]
        self.optimiser.step([gradient for of_one in side_by_side(calls) for gradient in of_one])

    def _one(
        self, number: int, rows: Tensor, streams: Tensor, tables: list[Tensor], corners: list[Tensor]
    ) -> list[Tensor]:
        training_set = self.sets[number]
        images = training_set.images(rows[number])
        if corners:
            height, width = images.shape[2] // training_set.canvas, images.shape[3] // training_set.canvas
            images = Crop(corners[number], (height, width)).apply(images)
        images = self._augmented(images, tables[number]) if tables else self.drawing.otherwise(images, streams[number])
        return self._gradient(number, rows[number], images)

    def _gradient(self, number: int, rows: Tensor, images: Tensor) -> list[Tensor]:
        count = len(images)
        if count not in self._weights:
            self._weights[count] = torch.full((count,), 1 / count, device=images.device)
        labels = self.sets[number].labels[rows]
        full = min(self.batch, len(self.sets[number].labels))
        gradients = self.gradient(self.states[number], self.trainable, (images, labels), self._weights[count], full)
        return [gradients[name] for name in self.trainable]
