"""Small data sets in the forms in which users have them."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def picture(seed: int, height: int = 6, width: int = 4, channels: int = 3) -> Pixels:
    """Random pixels [height, width] or [height, width, channels]."""
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def png(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def channels_first(pixels: Sequence[Pixels]) -> Pixels:
    """[N, C, H, W] of pictures."""
    return np.stack([p[None] if p.ndim == 2 else p.transpose(2, 0, 1) for p in pixels])


def write_classes(folder: Path, classes: Mapping[str, Sequence[Pixels | bytes]]) -> Path:
    """One sub-folder of PNG files per class."""
    for name, images in classes.items():
        (folder / name).mkdir(parents=True)
        for number, image in enumerate(images):
            (folder / name / f"{number:03}.png").write_bytes(image if isinstance(image, bytes) else png(image))
    return folder


def write_parquet(
    folder: Path,
    split: str,
    images: Sequence[Pixels | bytes | None],
    labels: Sequence[Any],
    *,
    image: str = "image",
    label: str = "label",
    names: Sequence[str] | None = None,
    extra: Mapping[str, Sequence[Any]] | None = None,
    part: str = "00000-of-00001",
) -> Path:
    """One parquet file of a split, with the metadata that `datasets` writes."""
    import datasets

    encoded = [{"bytes": i if i is None or isinstance(i, bytes) else png(i), "path": None} for i in images]
    table = datasets.Dataset.from_dict({image: encoded, label: list(labels), **(extra or {})})
    table = table.cast_column(image, datasets.Image())
    if names is not None:
        table = table.cast_column(label, datasets.ClassLabel(names=list(names)))
    (folder / "data").mkdir(parents=True, exist_ok=True)
    table.to_parquet(str(folder / "data" / f"{split}-{part}.parquet"))
    return folder
