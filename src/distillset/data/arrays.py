"""Arrays a user hands over, checked and brought to one form: pixels uint8 [N, C, H, W], labels int64 [N]."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distillset.data.labels import TRUTHS, from_array, from_values
from distillset.data.measure import CHUNK
from distillset.data.spec import CHANNELS
from distillset.errors import InputError


def pixels(images: Any, what: str = "images") -> Tensor:
    """Images as uint8 [N, C, H, W].

    Args:
        images: numpy or torch, [N, C, H, W], [N, H, W, C] or [N, H, W], uint8 or floating point in [0, 1].
        what: how messages name the array.

    Raises:
        InputError: another type or shape, no image, a layout that fits both ways, or a value that is not in [0, 1].
    """
    array = channels_first(tensor(images, what), what)
    if array.dtype == torch.uint8:
        return array.contiguous()
    result = torch.empty(array.shape, dtype=torch.uint8)
    for start in range(0, len(array), CHUNK):
        result[start : start + CHUNK] = to_bytes(array[start : start + CHUNK], what, range(start, start + CHUNK))
    return result


def channels_first(array: Tensor, what: str) -> Tensor:
    """A view of ``array`` as [N, C, H, W]. Where the channels are is inferred; C must be 1, 3 or 4.

    Raises:
        InputError: see `pixels`.
    """
    shape = list(array.shape)
    if array.dtype != torch.uint8 and not array.dtype.is_floating_point:
        name = str(array.dtype).removeprefix("torch.")
        raise InputError.about(what, f"their type is {name}; allowed are uint8, or floating point between 0 and 1")
    if array.ndim not in (3, 4):
        raise InputError.about(what, f"their shape is {shape}; allowed are [N, C, H, W], [N, H, W, C] and [N, H, W]")
    if array.numel() == 0:
        raise InputError.about(what, f"their shape is {shape}; the set is empty")
    if array.ndim == 3:
        return array.unsqueeze(1)
    first, last = shape[1] in CHANNELS, shape[3] in CHANNELS
    if first and last:
        raise InputError.about(
            what,
            f"their shape is {shape}, which reads as [N, C, H, W] and as [N, H, W, C]; "
            "RealSet(images, labels, spec) takes [N, C, H, W] as it is",
        )
    if not first and not last:
        raise InputError.about(
            what, f"their shape is {shape}; the second or the last number must be 1, 3 or 4 (the channels)"
        )
    return array if first else array.permute(0, 3, 1, 2)


def labels(values: Any, what: str = "labels") -> tuple[Tensor, tuple[str, ...] | None]:
    """(labels int64 [N], class names where they are text or truth values, in ascending order).

    Args:
        values: numbers [N] or [N, 1], one-hot rows [N, classes], names [N] (text or bytes) or truth values [N]; an
            array, a tensor, a list, or a column of pandas.
        what: how messages name them.

    Raises:
        InputError: another shape or type, a row without a label, a negative number, or a row that is not one-hot.
    """
    if not isinstance(values, Tensor):
        values = _columns(values, what)
        ndarray = values if isinstance(values, np.ndarray) else None
        if ndarray is not None and ndarray.dtype.kind in "US" and (ndarray.ndim == 1 or ndarray.shape[1:] == (1,)):
            texts, order = np.unique(ndarray.reshape(-1), return_inverse=True)
            return torch.from_numpy(order.reshape(-1)), _texts(texts.tolist(), what)
        if ndarray is None or ndarray.dtype == object:
            numbers, names = from_values(list(values), None, lambda row: f"{what}: row {row}")
            return numbers if names else from_array(numbers, what), names
    array = tensor(values, what)
    truths = array.dtype == torch.bool and list(array.shape[1:]) in ([], [1])
    return from_array(array, what), TRUTHS if truths else None


def _columns(values: Any, what: str) -> Any:
    """A list of single labels as it is, what pandas has as an array, everything else as an array too."""
    if isinstance(values, list | tuple) and all(
        isinstance(value, list | tuple) and len(value) == 1 and not isinstance(value[0], list | tuple)
        for value in values
    ):
        values = [value[0] for value in values]  # as an array, numbers among names would become names
    listed = isinstance(values, list | tuple) and not any(
        isinstance(value, np.ndarray | Tensor) for value in values[:1]
    )
    if listed and not any(isinstance(value, list | tuple) for value in values[:1]):
        return values
    if _of_pandas(values):
        if values.ndim == 2 and values.shape[1] == 1:
            values = values.iloc[:, 0]
        values = values.to_numpy()
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError, NotImplementedError) as error:
        if listed:  # of several lengths: the row is named where they are looked at one by one
            return values
        raise InputError.about(what, f"{_short(error)}; an array [N] of labels is needed") from None
    if array.ndim == 0 and not isinstance(values, np.ndarray):
        raise InputError.about(what, f"{type(values).__name__} found; an array [N] of labels is needed")
    return array.reshape(len(array)) if array.dtype == object and array.shape[1:] == (1,) else array


def _texts(names: list[Any], what: str) -> tuple[str, ...]:
    try:
        return tuple(name.decode() if isinstance(name, bytes) else name for name in names)
    except UnicodeDecodeError:
        raise InputError.about(what, "are bytes that are no text; names have to be UTF-8") from None


def _of_pandas(values: Any) -> bool:
    return type(values).__module__.split(".")[0] == "pandas" and hasattr(values, "to_numpy")


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:100]


def tensor(values: Any, what: str) -> Tensor:
    """``values`` as a CPU tensor that shares memory where it can.

    Raises:
        InputError: they are not an array of numbers, or a tensor without data or of another layout.
    """
    if isinstance(values, Tensor):
        return plain(values, what).cpu()
    try:
        array = np.asarray(values.to_numpy() if _of_pandas(values) else values)
    except (ValueError, TypeError, RuntimeError, NotImplementedError) as error:  # rows of several lengths
        raise InputError.about(what, f"{_short(error)}; an array of numbers is needed") from None
    if array.dtype.kind not in "biufc":
        raise InputError.about(what, f"{array.dtype} found; an array of numbers is needed")
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        # torch has no arithmetic for wider unsigned types
        array = array.astype(np.int64)
    if array.dtype == np.longdouble:
        array = array.astype(np.float64)
    # torch needs native byte order, positive strides and writable memory (a read-only memory map is copied)
    array = np.require(array, dtype=array.dtype.newbyteorder("="), requirements=["C", "W"])
    return torch.from_numpy(array)


def plain(values: Tensor, what: str) -> Tensor:
    """A tensor that holds its numbers one by one, detached.

    Raises:
        InputError: it has no data (device meta), or is sparse, nested or quantised.
    """
    if values.is_meta:
        raise InputError.about(what, "are a tensor without data (device meta)")
    if values.is_quantized:
        raise InputError.about(what, "are a quantised tensor; call dequantize() first")
    if values.layout != torch.strided or values.is_nested:
        raise InputError.about(what, "are a sparse or nested tensor; call to_dense() first")
    return values.detach().resolve_conj().resolve_neg()


def to_bytes(chunk: Tensor, what: str, rows: Sequence[int] | None = None) -> Tensor:
    """uint8 or floating point in [0, 1], [n, ...], as uint8. ``rows`` are the numbers of the rows in messages.

    Raises:
        InputError: NaN, infinity, or a value outside [0, 1]; the message names the row.
    """
    if chunk.dtype == torch.uint8:
        return chunk.contiguous()
    values = chunk.to(torch.float32)
    # A comparison with NaN is false, so this one test catches NaN, infinity and values out of range.
    inside = ((values >= 0) & (values <= 1)).flatten(1)
    if not bool(inside.all()):
        row = int((~inside.all(1)).nonzero()[0])
        number = row if rows is None else rows[row]
        worst = float(values[row].flatten()[~inside[row]][0])
        raise InputError.about(
            what,
            f"row {number} has a pixel of {worst:g}; floating-point pixels must be finite and lie between 0 "
            "and 1 (not normalised, not 0 to 255)",
        )
    return values.mul(255).round_().to(torch.uint8).contiguous()
