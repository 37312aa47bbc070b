"""``.pt`` files in the layouts of the field's code. The only file of the library that writes one.

A ``.pt`` file is a pickle. What is written here holds tensors, lists, dictionaries and text alone. Three layouts, each
as its users load it (`distillset.export.imported` reads them back):

- ``images_best.pt`` and ``labels_best.pt``: the code of Cazenavette et al. (CVPR 2022) and what followed it, DC-BENCH's
  ``TM`` loader, and, as ``image_tensor`` and ``hard_labels``, DD-Ranking (whose soft labels are logits:
  ``soft_labels.pt``);
- ``res_METHOD_DATA_ConvNet_IPCipc.pt``: a dictionary whose ``data`` is a list of ``[images, labels]``, the code of Zhao
  et al. (ICLR 2021) and DC-BENCH's ``DC`` loader, which take the last entry;
- ``lr.pt``: the learned rate, where there is one.

Images are normalised floats, class by class.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from distillset.data.synthetic import SyntheticSet
from distillset.export.real_images import write_real
from distillset.store import write_folder


def write_pt(synthetic: SyntheticSet, out: Path) -> list[str]:
    """Write every layout; the folder appears whole or not at all."""
    synthetic = synthetic.unpacked()
    order = torch.sort(synthetic.classes, stable=True).indices
    images, labels = synthetic.images[order].contiguous(), synthetic.classes[order].contiguous()
    method, name = str(synthetic.card.get("method", "unknown")).upper(), synthetic.spec.name.upper().replace("_", "")
    files: dict[str, Any] = {
        "images_best.pt": images,
        "labels_best.pt": labels,
        f"res_{_word(method)}_{_word(name)}_ConvNet_{synthetic.ipc}ipc.pt": {"data": [[images, labels]]},
    }
    notes = ["normalised with " + _space(synthetic)]
    if synthetic.labels.dim() == 2:
        files["soft_labels.pt"] = synthetic.labels[order].clamp_min(1e-8).log()
        notes.append("soft_labels.pt holds logits, the logarithms of the probabilities; labels_best.pt the best class")
    if synthetic.lr is not None:
        files["lr.pt"] = torch.tensor(synthetic.lr)

    def write(folder: Path) -> None:
        for file, value in files.items():
            torch.save(value, folder / file)
        write_real(synthetic, folder, order.tolist())

    write_folder(out, write)
    return notes


def _space(synthetic: SyntheticSet) -> str:
    if synthetic.whitening is not None:
        return "the ZCA whitening of the artifact: give the evaluating code the same"
    return f"mean {_list(synthetic.spec.mean)}, std {_list(synthetic.spec.std)}; evaluating code has to use the same"


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _word(text: str) -> str:
    return "".join(letter for letter in text if letter.isascii() and letter.isalnum())[:60] or "SET"
