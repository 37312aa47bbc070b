"""A PNG per image, a folder per class: what torchvision, Keras and many others open."""

import re
from collections.abc import Sequence
from pathlib import Path

from distillset.data.synthetic import SyntheticSet
from distillset.export.pixels import pngs
from distillset.export.real_images import write_real
from distillset.store import write_folder

LONGEST = 100
"""Bytes of a folder's name: file systems take 255."""


def write_image_folder(synthetic: SyntheticSet, out: Path) -> list[str]:
    """Write ``out/CLASS/00000.png`` and so on; the folder appears whole or not at all."""
    names = folder_names(synthetic.spec.class_names)
    counts = [0] * len(names)

    def write(folder: Path) -> None:
        for name in names:
            (folder / name).mkdir()
        for png, label in zip(pngs(synthetic), synthetic.classes.tolist(), strict=True):
            (folder / names[label] / f"{counts[label]:05}.png").write_bytes(png)
            counts[label] += 1
        write_real(synthetic, folder)

    write_folder(out, write)
    notes = [] if names == list(synthetic.spec.class_names) else [
        "class folders start with the label's number: readers number classes in the order of their names"
    ]  # fmt: skip
    if synthetic.labels.dim() == 2:
        notes.append("soft labels do not fit into folders: each image lies in that of its most probable class")
    return notes


def folder_names(class_names: Sequence[str]) -> list[str]:
    """A folder's name for each class, whose alphabetical order is that of the labels; the class's own where that holds.

    >>> folder_names(["bird", "cat"]), folder_names(["cat", "a/b"])
    (['bird', 'cat'], ['0-cat', '1-a_b'])
    """
    names = [re.sub(r"[^\w .,&()+'-]", "_", name).strip(" .") for name in class_names]
    names = [name.encode()[:LONGEST].decode(errors="ignore").strip(" .") for name in names]
    plain = all(name and name == title for name, title in zip(names, class_names, strict=True))
    if plain and sorted(names) == names and len({name.lower() for name in names}) == len(names):
        return names
    digits = len(str(len(names) - 1))
    return [f"{label:0{digits}}-{name}" for label, name in enumerate(names)]
