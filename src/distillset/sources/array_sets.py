"""Splits of arrays as files hold them: pixels in the layouts that their shape tells apart, labels in several forms."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distillset.data import arrays
from distillset.errors import InputError
from distillset.sources.array_roles import CLASS_NAMES, Roles
from distillset.sources.splits import Split, rows_of_tensor

Source = Any
"""A tensor, an array, a memory map, a dataset of HDF5: what has a shape and a type, and gives rows."""


def splits_of_arrays(
    roles: Roles, by_name: Mapping[str, Source], what: Callable[[str], str], class_names: tuple[str, ...] | None = None
) -> dict[str, Split]:
    """The splits of the arrays of a file.

    Args:
        roles: which of them is what.
        by_name: the arrays by name.
        what: how messages call an array.
        class_names: one per class, where the file says so apart from its arrays.

    Raises:
        InputError: an array is of another shape or type; images and labels differ in number.
    """
    stated = class_names or _stated(by_name)
    return {
        split: array_set(what(images), by_name[images], what(labels), by_name[labels], stated)
        for split, (images, labels) in roles.splits.items()
    }


def array_set(
    what: str, images: Source, what_labels: str, labels: Source, class_names: tuple[str, ...] | None
) -> Split:
    """A split of an array of images, read as it is asked for, and one of labels.

    Args:
        what: how messages call the images.
        images: [N, C, H, W], [N, H, W, C] or [N, H, W], uint8 or floating point in [0, 1].
        what_labels: how messages call the labels.
        labels: whole numbers or names [N] or [N, 1], or one-hot rows [N, classes].
        class_names: one per class; None for those in ``labels``.

    Raises:
        InputError: see `distillset.data.arrays.channels_first` and `distillset.data.arrays.labels`.
    """
    if not isinstance(images, Tensor):
        if not hasattr(images, "shape"):  # NumPy gives what is no array as bytes
            images = np.asarray(images)
        if images.dtype.kind in "iu" and images.dtype.itemsize > 1:
            raise InputError.about(
                what, f"their type is {images.dtype}; allowed are uint8, or floating point between 0 and 1"
            )
        # The layout follows from the shape, so it is checked before anything is read.
        kind = arrays.tensor(np.empty(0, images.dtype), what).dtype
        arrays.channels_first(torch.empty(tuple(images.shape), dtype=kind, device="meta"), what)
    else:
        arrays.channels_first(images, what)
    numbers, named = arrays.labels(_flat(labels), what_labels)
    if len(images) != len(numbers):
        counts = f"{len(images)} images but {len(numbers)} labels"
        raise InputError.about(what, f"{counts} ({what_labels}); there must be one label per image")

    def read(rows: Sequence[int]) -> Tensor:
        chunk = rows_of_tensor(images, rows) if isinstance(images, Tensor) else arrays.tensor(_rows(images, rows), what)
        return arrays.to_bytes(arrays.channels_first(chunk, what), what, rows)

    return Split(what, numbers, named or class_names, read, lambda row: f"{what}, row {row}")


def _flat(labels: Any) -> Any:
    """Labels [N, 1, 1, 1] as [N], as PatchCamelyon has them; others as they are."""
    array = labels if isinstance(labels, Tensor) else np.asarray(labels)
    size = array.numel() if isinstance(array, Tensor) else array.size
    return array.reshape(-1) if array.ndim > 2 and size == len(array) else array


def _rows(source: Any, rows: Sequence[int]) -> NDArray[Any]:
    if isinstance(rows, range) and rows.step == 1:
        return np.array(source[rows.start : rows.stop])
    # HDF5 gives rows in ascending order and once only
    wanted, places = np.unique(np.asarray(rows, dtype=np.int64), return_inverse=True)
    return np.asarray(source[wanted])[places]


def _stated(by_name: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The names of the classes where an array of text holds them."""
    for name in CLASS_NAMES:
        array = by_name.get(name)
        if isinstance(array, np.ndarray) and array.ndim == 1 and array.dtype.kind in "US":
            text = np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array
            return tuple(str(item) for item in text)
    return None
