"""Which real images a set consists of, or was learned from, beside its pictures."""

from collections.abc import Sequence
from pathlib import Path

from distillset.data.synthetic import SyntheticSet
from distillset.store import write_json

FILE = "real_images.json"


def write_real(synthetic: SyntheticSet, folder: Path, order: Sequence[int] | None = None) -> None:
    """Write ``real_images.json``: for each image its class, the row of the training set, and the file where it was one.

    Args:
        synthetic: the set; nothing is written of one whose card does not say it image by image.
        folder: where the pictures are.
        order: of the images as they are written; as they are stored by default.
    """
    real = synthetic.card.get("real") or {}
    rows, files = real.get("rows"), real.get("files")
    if not isinstance(rows, list) or len(rows) != len(synthetic):
        return
    names = [synthetic.spec.class_names[label] for label in synthetic.classes.tolist()]
    images = [{"class": name, "row": row} for name, row in zip(names, rows, strict=True)]
    if isinstance(files, list) and len(files) == len(images):
        images = [{**image, "file": file} for image, file in zip(images, files, strict=True)]
    write_json(folder / FILE, [images[i] for i in (range(len(images)) if order is None else order)])
