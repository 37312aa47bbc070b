"""Sets that other code wrote: ``.pt`` files in the field's layouts, read without running anything, and what is assumed.

Nothing is assumed in silence: what the labels are, whether numbers are pixels or normalised, and by what.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distillset.arguments import number, path_of, several
from distillset.data import arrays
from distillset.data.spec import Spec
from distillset.data.synthetic import SyntheticSet
from distillset.errors import InputError, shown
from distillset.export.weights_only import load_plain
from distillset.watch import Watcher, watching

LABELS_BESIDE = {"images_best.pt": "labels_best.pt", "images.pt": "labels.pt"}

VALUES = ("auto", "normalised", "unit")
"""What floating-point images are: normalised, or pixels between 0 and 1; found out by default."""

DEPTH = 8
"""Lists in lists that are looked into."""

UNFOLDED, BYTES = 200, 2**28
"""A tensor may take this many times what is stored of it, and this many bytes anyway."""


def read_pt(
    file: str | Path | Sequence[str | Path],
    labels: str | Path | Sequence[str | Path] | None,
    spec: Spec,
    *,
    method: str = "imported",
    values: str = "auto",
    watcher: Watcher | None = None,
) -> SyntheticSet:
    """A set from ``.pt`` files of the layouts of `distillset.export.pt`, or of ``(images, labels)``.

    Args:
        file: with the images; several are taken one after the other. Where they hold nothing else, labels come from
            ``labels``, from ``labels_best.pt`` beside ``images_best.pt``, or else are the classes in their order,
            equally many each. A learned rate comes from ``lr.pt`` beside it.
        labels: files with the labels: int [N], or float [N, classes], which are taken as probabilities where every
            row is one and as logits where not.
        spec: classes, size and the normalisation that the images were made with.
        method: what to call the method in the card.
        values: ``normalised``, ``unit`` (pixels between 0 and 1, which are then normalised), or ``auto``.
        watcher: hears what was assumed, and what looks odd.

    Raises:
        InputError: a file holds more than plain values and tensors, or what they hold does not fit ``spec``.
    """
    watcher = watching(watcher)
    if values not in VALUES:
        raise InputError("values", values, f"choose one of {', '.join(VALUES)}")
    paths = _paths("file", file)
    parts = [_unpack(load_plain(path), path) for path in paths]
    labels_of_files = _labels_of(parts, paths, labels)
    if labels_of_files is None:
        _check_alone(paths)
    pixels = [_images(part, spec, path) for (part, _), path in zip(parts, paths, strict=True)]
    if len({(part.dtype, part.shape[1:]) for part in pixels}) > 1:
        raise InputError.about(paths[0], "images of another type or size than in the other files")
    images = _normalised(torch.cat(pixels), spec, values, paths[0], watcher)
    card = {"method": method, "imported": ", ".join(path.name for path in paths)[:200]}
    targets = _targets(labels_of_files, len(images), spec, paths[0], watcher)
    return SyntheticSet(images.contiguous(), targets, spec, card, lr=_rate(paths[0]))


def _paths(field: str, files: str | Path | Sequence[str | Path]) -> list[Path]:
    if isinstance(files, str | Path):
        files = [files]
    paths = [path_of(field, path) for path in several(field, files)]
    if not paths:
        raise InputError(field, [], "name at least one .pt file")
    if len(set(paths)) < len(paths):
        raise InputError.about(next(path for path in paths if paths.count(path) > 1), "is given twice")
    return paths


def _check_alone(paths: Sequence[Path]) -> None:
    """One of several numbered files without labels is a part of a set, whose classes are not in it."""
    if len(paths) > 1:
        return
    path = paths[0]
    pattern = re.sub(r"\d+", r"\\d+", re.escape(path.stem))
    beside = sorted(
        other.name
        for other in path.parent.iterdir()
        if other != path and other.suffix == path.suffix and re.fullmatch(pattern, other.stem)
    )
    if re.search(r"\d", path.stem) and beside:
        raise InputError.about(
            path,
            f"holds images without labels, and {len(beside)} files of the same name but for the number lie "
            f"beside it (such as {beside[0]}); give all parts of the set in their order, or their `labels`",
        )


def _labels_of(
    parts: Sequence[tuple[Tensor, Any]], paths: Sequence[Path], labels: str | Path | Sequence[str | Path] | None
) -> Tensor | None:
    """The labels of all images: from the files themselves, from others, or None."""
    within = [values for _, values in parts if values is not None]
    if within and len(within) < len(parts):
        path = next(path for (_, values), path in zip(parts, paths, strict=True) if values is None)
        raise InputError.about(path, "holds no labels, where other files do; give files of one kind")
    if labels is not None:
        if within:
            raise InputError.about(paths[0], "holds labels as well; leave `labels` out")
        return _joined([(load_plain(path), path) for path in _paths("labels", labels)])
    if within:
        return _joined([(values, path) for (_, values), path in zip(parts, paths, strict=True)])
    beside = paths[0].with_name(LABELS_BESIDE.get(paths[0].name, paths[0].name))
    alone = len(paths) > 1 or beside == paths[0] or not beside.is_file()
    return None if alone else _joined([(load_plain(beside), beside)])


def _joined(values: Sequence[tuple[Any, Path]]) -> Tensor:
    """Labels as int64 [N], or float32 [N, classes] as they are."""
    parts = []
    for value, path in values:
        if isinstance(value, Tensor):
            value = arrays.plain(value, f"{path}: labels")
        elif not isinstance(value, list | tuple):
            raise InputError.about(path, f"labels are a {type(value).__name__}; expected int [N] or float [N, classes]")
        if isinstance(value, Tensor) and value.dim() == 2 and value.is_floating_point() and value.shape[1] > 1:
            parts.append(value.float())
        else:
            numbers, names = arrays.labels(value, f"{path}: labels")
            if names is not None:
                raise InputError.about(path, f"labels are names such as {names[0]}; expected the numbers of classes")
            parts.append(numbers)
    if len({(part.dtype, part.shape[1:]) for part in parts}) > 1:
        raise InputError.about(values[0][1], "labels of several kinds; all files must have the same")
    return torch.cat(parts)


def _images(images: Tensor, spec: Spec, path: Path) -> Tensor:
    """Images of a file as float32 or uint8 [n, C, H, W], unfolded."""
    images = arrays.plain(images, f"{path}: images")
    if images.dim() != 4:
        raise InputError.about(path, f"images of the shape {list(images.shape)}; expected [N, {_shape(spec)}]")
    if images.dtype.is_complex or images.dtype == torch.bool:
        name = str(images.dtype).removeprefix("torch.")
        raise InputError.about(path, f"images are {name}; expected floating-point numbers, or whole ones from 0 to 255")
    size = images.numel() * images.element_size()
    if size > max(BYTES, UNFOLDED * images.untyped_storage().nbytes()):
        raise InputError.about(
            path, f"images take {size / 1e6:,.0f} MB, of which the file holds a small part over and over"
        )
    if not images.is_floating_point() and images.dtype != torch.uint8:
        if not bool(((images >= 0) & (images <= 255)).all()):
            raise InputError.about(path, "images are whole numbers outside of 0 to 255")
        images = images.to(torch.uint8)
    return images if images.dtype == torch.uint8 else images.float()


def _normalised(images: Tensor, spec: Spec, values: str, path: Path, watcher: Watcher) -> Tensor:
    """Images in normalised space, and what was assumed of them."""
    if images.dtype == torch.uint8:
        watcher.note(f"{path}: pixels from 0 to 255, normalised with mean {_list(spec.mean)} and std {_list(spec.std)}")
        return spec.normalise(images) if tuple(images.shape[1:]) == spec.shape else images.float()
    if not bool(torch.isfinite(images).all()):
        raise InputError.about(path, "images contain NaN or infinity")
    low, high = (float(end) for end in torch.aminmax(images)) if images.numel() else (0.0, 0.0)
    unit = low >= 0 and high <= 1 and high > low
    if values == "unit" or (values == "auto" and unit):
        if values == "unit" and not (low >= -0.5 and high <= 1.5):
            raise InputError("values", values, f"{path} has values from {low:.3g} to {high:.3g}, which are no pixels")
        why = "" if values == "unit" else "; if they are normalised already, say `values='normalised'`"
        watcher.note(f"{path}: values between 0 and 1 are taken as pixels, and normalised{why}")
        mean, std = (torch.tensor(numbers).view(-1, 1, 1) for numbers in (spec.mean, spec.std))
        return (images - mean) / std if len(spec.mean) == images.shape[1] else images
    by = f"mean {_list(spec.mean)} and std {_list(spec.std)}"
    watcher.note(f"{path}: taken as normalised with {by}; `mean` and `std` give others")
    if odd := _oddity(images, spec, low, high):
        watcher.note(f"warning: {path}: does not look normalised with these numbers: {odd}")
    return images


def _oddity(images: Tensor, spec: Spec, low: float, high: float) -> str | None:
    """What is unlike images normalised as ``spec`` says: those have a mean of about 0 and a deviation of about 1."""
    if images.shape[1] != spec.channels:
        return None
    if (unit := float(((images >= 0) & (images <= 1)).double().mean())) > 0.98:
        return f"{unit:.0%} of the values lie between 0 and 1; if they are pixels, say `values='unit'`"
    mean, std = float(images.double().mean()), float(images.double().std())
    if -1 <= low <= high <= 1 and low < -0.5 and high > 0.5 and set(spec.std) != {0.5}:
        return (
            f"all values lie between {low:.3g} and {high:.3g}; pixels mapped to -1 to 1 need `mean=0.5` and `std=0.5`"
        )
    if abs(mean) > 1.5 or not 0.2 < std < 5:
        return f"mean {mean:.3g}, deviation {std:.3g} (about 0 and 1 expected)"
    return None


def _targets(values: Tensor | None, count: int, spec: Spec, path: Path, watcher: Watcher) -> Tensor:
    """Labels int64 [N], or probabilities float32 [N, classes]."""
    if values is None:
        if count % spec.classes:
            raise InputError.about(path, f"{count} images without labels do not divide into {spec.classes} classes")
        each = count // spec.classes
        watcher.note(f"{path}: no labels; taken as the {spec.classes} classes in their order, {each} images each")
        return torch.arange(spec.classes).repeat_interleave(each)
    if values.dim() == 1:
        return values
    probable = bool((values >= 0).all()) and torch.allclose(values.sum(1), torch.ones(len(values)), atol=1e-3)
    watcher.note(f"{path}: labels are taken as {'probabilities' if probable else 'logits'}")
    return values if probable else values.softmax(1)


def _rate(path: Path) -> float | None:
    """The learned rate beside images."""
    rate = path.with_name("lr.pt")
    if path.name not in LABELS_BESIDE or not rate.is_file():
        return None
    value = load_plain(rate)
    try:
        return number("lr", arrays.plain(value, "the learned rate") if isinstance(value, Tensor) else value)
    except InputError as error:
        raise InputError.about(rate, f"the learned rate is {shown(value)}; it {error.allowed}") from None


def _unpack(value: Any, path: Path, depth: int = 0) -> tuple[Tensor, Any]:
    """Images, and labels where they lie beside them."""
    if depth > DEPTH:
        raise InputError.about(path, f"lists in lists, {depth} deep, and no images")
    if isinstance(value, dict):
        if isinstance(value.get("data"), list | tuple) and value["data"]:
            return _unpack(value["data"][-1], path, depth + 1)
        for images, labels in (("images", "labels"), ("image", "label"), ("x", "y")):
            if images in value:
                return _unpack([value[images], value.get(labels)], path, depth + 1)
    if isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[0], Tensor):
        return value[0], value[1]
    if isinstance(value, Tensor):
        return value, None
    keys = f" with the keys {shown(', '.join(map(str, value)))}" if isinstance(value, dict) else ""
    raise InputError.about(
        path,
        f"a {type(value).__name__}{keys}; expected a tensor of images, [images, labels], or a dictionary with "
        "'data' or 'images'",
    )


def _shape(spec: Spec) -> str:
    return ", ".join(map(str, spec.shape))


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
