"""The real set T: labelled images as bytes, normalised only when drawn."""

import math
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from distillset.arguments import of_kind, several, text
from distillset.data import arrays
from distillset.data.measure import content_fingerprint, statistics
from distillset.data.sampler import Sampler
from distillset.data.spec import Spec
from distillset.data.whiten import Whitening
from distillset.errors import InputError
from distillset.keys import Key, fold, permutation

RESIDENT = 0.125
"""The part of a GPU's free memory up to which a set is kept there whole."""


class RealSet:
    """A labelled image set.

    Args:
        images: uint8 [N, C, H, W], in memory or memory-mapped.
        labels: int64 [N], from 0 to ``spec.classes - 1``.
        spec: shape, class names and normalisation.
        partial: whether classes without images are accepted: a held-out part of a set may lack some.
        fingerprint: what `fingerprint` returns, where it is known already.
        whitening: in place of the mean and std of ``spec``, where images are drawn whitened.

    Raises:
        InputError: a type, shape or length is wrong, the set is empty, a label out of range, or a class has no image.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        spec: Spec,
        *,
        partial: bool = False,
        fingerprint: str | None = None,
        whitening: Whitening | None = None,
    ) -> None:
        of_kind("spec", spec, Spec, "a Spec")
        name = spec.name
        of_kind("images", images, Tensor, "a tensor, uint8 [N, C, H, W]")
        of_kind("labels", labels, Tensor, "a tensor, int64 [N]")
        images, labels = arrays.plain(images, f"{name}: images"), arrays.plain(labels, f"{name}: labels")
        if images.dtype != torch.uint8 or images.ndim != 4:
            type_and_shape = f"{str(images.dtype).removeprefix('torch.')} {list(images.shape)}"
            raise InputError.about(name, f"images are {type_and_shape}; uint8 [N, C, H, W] is needed")
        if tuple(images.shape[1:]) != spec.shape:
            raise InputError.about(
                name, f"images are {list(images.shape[1:])} each, but the spec says {list(spec.shape)}"
            )
        if labels.dtype != torch.int64 or labels.ndim != 1:
            type_and_shape = f"{str(labels.dtype).removeprefix('torch.')} {list(labels.shape)}"
            raise InputError.about(name, f"labels are {type_and_shape}; int64 [N] is needed")
        if len(images) != len(labels):
            raise InputError.about(
                name, f"{len(images)} images but {len(labels)} labels; there must be one label per image"
            )
        if len(images) == 0:
            raise InputError.about(name, "the set is empty")
        outside = (labels < 0) | (labels >= spec.classes)
        if bool(outside.any()):
            row = int(outside.nonzero()[0])
            raise InputError.about(name, f"label {int(labels[row])} of row {row}; allowed are 0 to {spec.classes - 1}")
        self.images = images.contiguous()
        self.labels = labels.contiguous()
        self.spec = spec
        self.partial = partial
        self.whitening = whitening
        self.counts = torch.from_numpy(np.bincount(self.labels.numpy(), minlength=spec.classes))
        """Images of each class, int64 [classes]."""
        if not partial and bool((self.counts == 0).any()):
            label = int((self.counts == 0).nonzero()[0])
            raise InputError.about(
                name, f"class {label} ({spec.class_names[label]}) has no images; every class needs at least one"
            )
        # numpy: its stable sort of bytes takes a millisecond, torch's 400 where other processes use the cores as well.
        small = self.labels.numpy().astype(np.min_scalar_type(spec.classes))
        order = torch.from_numpy(np.argsort(small, kind="stable"))
        self._order = order
        self._index = torch.split(order, self.counts.tolist())
        self._fingerprint = fingerprint
        self._resident: dict[torch.device, Tensor | None] = {}

    @classmethod
    def from_arrays(
        cls,
        images: Any,
        labels: Any,
        *,
        name: str = "arrays",
        class_names: Sequence[str] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        flip: bool = True,
    ) -> "RealSet":
        """A real set from arrays, with the spec inferred where it is not given.

        Args:
            images: numpy or torch; [N, C, H, W], [N, H, W, C] or [N, H, W]; uint8, or floating point in [0, 1], which
                is rounded to 8 bits.
            labels: whole numbers from 0 on or names [N], or one-hot rows [N, classes].
            name: what messages and cards call the set.
            class_names: one per class; by default the names in ``labels``, ascending, else the numbers.
            mean: per channel, of pixels in [0, 1]; measured by default.
            std: the same.
            flip: whether a horizontal flip keeps the class.

        Raises:
            InputError: see `RealSet` and `distillset.data.arrays.pixels`.
        """
        name = text("name", name)
        data = arrays.pixels(images, f"{name}: images")
        numbers, label_names = arrays.labels(labels, f"{name}: labels")
        if len(data) != len(numbers):
            raise InputError.about(
                name, f"{len(data)} images but {len(numbers)} labels; there must be one label per image"
            )
        stated = None if class_names is None else tuple(several("class_names", class_names))
        names = stated if stated is not None else label_names or numbered_classes(numbers, name)
        if mean is None or std is None:
            measured_mean, measured_std = statistics(data)
            mean = measured_mean if mean is None else mean
            std = measured_std if std is None else std
        spec = Spec(
            name=name,
            channels=data.shape[1],
            height=data.shape[2],
            width=data.shape[3],
            class_names=names,
            mean=tuple(several("mean", mean)),
            std=tuple(several("std", std)),
            flip=flip,
        )
        return cls(data, numbers, spec)

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.spec.shape))
        return f"RealSet({self.spec.name}: {len(self)} images of {shape}, {self.spec.classes} classes)"

    def index(self, label: int) -> Tensor:
        """The rows of class ``label``, ascending, int64 [counts[label]].

        Raises:
            InputError: there is no such class.
        """
        if not 0 <= label < len(self._index):
            raise InputError.about(self.spec.name, f"class {label}; allowed are 0 to {self.spec.classes - 1}")
        return self._index[label]

    def rows(self, rows: Tensor, device: torch.device | str = "cpu") -> Tensor:
        """The images of ``rows`` (int64 [n]) normalised: float32 [n, C, H, W] on ``device``, moved there as bytes."""
        return self.normalise(self.pixels(rows, torch.device(device)))

    def normalise(self, pixels: Tensor) -> Tensor:
        """Bytes [n, C, H, W] as they are drawn: normalised by the spec or whitened, float32."""
        return self.spec.normalise(pixels) if self.whitening is None else self.whitening.apply(pixels)

    def pixels(self, rows: Tensor, device: torch.device) -> Tensor:
        """The bytes of ``rows`` (int64 [n]) on ``device``."""
        if self.resident(device):
            held = self.images if device.type == "cpu" else self._resident[device]
            assert held is not None
            return held.index_select(0, rows.to(device, non_blocking=True))
        return self.images.index_select(0, rows.cpu()).to(device, non_blocking=True)

    def resident(self, device: torch.device) -> bool:
        """Whether the whole set lies on ``device``: a GPU keeps it where that takes little of its memory."""
        if device.type == "cuda" and device not in self._resident:
            small = self.images.nbytes <= torch.cuda.mem_get_info(device)[0] * RESIDENT
            self._resident[device] = self.images.to(device) if small else None
        return device.type != "cuda" or self._resident[device] is not None

    def whitened(self, whitening: Whitening | None) -> "RealSet":
        """The same set, drawn under ``whitening``; None means under mean and std again."""
        if whitening is self.whitening:
            return self
        return RealSet(
            self.images,
            self.labels,
            self.spec,
            partial=self.partial,
            fingerprint=self._fingerprint,
            whitening=whitening,
        )

    def _none_to_draw(self, label: int) -> NoReturn:
        raise InputError.about(
            self.spec.name, f"class {label} ({self.spec.class_names[label]}) has no images to draw from"
        )

    def draw_rows(self, label: int, n: int, key: Key) -> Tensor:
        """``n`` rows of class ``label``, int64 [n], without replacement while the class lasts.

        Beyond the size of the class every image is taken ``n // size`` times and the rest without replacement.

        Raises:
            InputError: the class does not exist or has no images.
        """
        index = self.index(label)
        size = len(index)
        if size == 0:
            self._none_to_draw(label)
        turns = fold(key.words(), torch.arange(max(1, math.ceil(n / size))))
        return index[permutation(turns, min(n, size), size).flatten()[:n]]

    def sampler(self, n: int, device: torch.device | str = "cpu") -> Sampler:
        """A sampler that draws ``n`` rows of every class at once, on ``device``.

        Raises:
            InputError: a class has no images.
        """
        for label in range(self.spec.classes):
            if not self.counts[label]:
                self._none_to_draw(label)
        return Sampler(self._order, self.counts.tolist(), n, device)

    def draw(self, label: int, n: int, key: Key, device: torch.device | str = "cpu") -> Tensor:
        """``n`` images of class ``label`` as `draw_rows` chooses them, normalised: float32 [n, C, H, W]."""
        return self.rows(self.draw_rows(label, n, key), device)

    def normalised(self, spec: Spec) -> "RealSet":
        """The same images with the normalisation of another spec.

        Raises:
            InputError: ``spec`` is of another shape or has too few classes.
        """
        if self.spec == spec:
            return self
        return RealSet(self.images, self.labels, spec, partial=self.partial, fingerprint=self.fingerprint())

    def subset(self, rows: Tensor) -> "RealSet":
        """The images of ``rows`` (int64 [n]) in that order, copied into memory. Classes may be missing from it."""
        return self._part(rows, partial=True)

    def split(self, fraction: float, key: Key) -> tuple["RealSet", "RealSet"]:
        """(the rest, held out): see `held_out_rows`. Both keep the order of this set.

        Raises:
            InputError: ``fraction`` is not between 0 and 1, or nothing could be held out.
        """
        held = held_out_rows(self.labels, self.spec.classes, fraction, key)
        if not bool(held.any()):
            raise InputError.about(
                self.spec.name, "every class has a single image, so none can be held out; give a test set"
            )
        rest = self._part((~held).nonzero().squeeze(1), partial=self.partial)
        return rest, self._part(held.nonzero().squeeze(1), partial=True)

    def _part(self, rows: Tensor, partial: bool) -> "RealSet":
        images, labels = self.images.index_select(0, rows), self.labels.index_select(0, rows)
        return RealSet(images, labels, self.spec, partial=partial, whitening=self.whitening)

    def fingerprint(self) -> str:
        """SHA-256 (hex) over pixels, labels, shape and class names; computed once."""
        if self._fingerprint is None:
            self._fingerprint = content_fingerprint(self.images, self.labels, self.spec.class_names)
        return self._fingerprint


def held_out_rows(labels: Tensor, classes: int, fraction: float, key: Key) -> Tensor:
    """A stratified choice of rows to hold out, bool [N].

    Of a class of n images ``fraction * n`` are held out, rounded, but at least one and never the last one.

    Raises:
        InputError: ``fraction`` is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise InputError("fraction", fraction, "the part to hold out must lie between 0 and 1")
    held = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(classes):
        rows = (labels == label).nonzero().squeeze(1)
        count = min(max(1, math.floor(fraction * len(rows) + 0.5)), len(rows) - 1)
        if count > 0:
            # By a generator of PyTorch's, as ever: the split is part of published numbers.
            generator = torch.Generator().manual_seed(key(label).integer())
            held[rows[torch.randperm(len(rows), generator=generator)[:count]]] = True
    return held


def numbered_classes(labels: Tensor, name: str) -> tuple[str, ...]:
    """Class names "0", "1", ... up to the largest label.

    Raises:
        InputError: there is no label, or fewer than two classes, or a number in between never occurs.
    """
    present = torch.unique(labels)
    if len(present) == 0:
        raise InputError.about(name, "the set is empty")
    if len(present) == 1:
        raise InputError.about(name, f"all labels are {int(present[0])}; at least two classes are needed")
    gaps = (present != torch.arange(len(present))).nonzero()
    if len(gaps):
        missing = int(gaps[0])
        raise InputError.about(
            name, f"labels go up to {int(present[-1])} but {missing} never occurs; every number from 0 on must occur"
        )
    return tuple(str(label) for label in range(len(present)))
