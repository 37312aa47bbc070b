"""``.pt`` files in the layouts of the field's code. The only file of the library that writes one.

A ``.pt`` file is a pickle. What is written here holds tensors, lists, dictionaries and text alone, and what is read is
read with ``weights_only=True``, which builds nothing else and runs nothing. Three layouts, each as its users load it:

- ``images_best.pt`` and ``labels_best.pt``: the code of Cazenavette et al. (CVPR 2022) and what followed it, DC-BENCH's
  ``TM`` loader, and, as ``image_tensor`` and ``hard_labels``, DD-Ranking (whose soft labels are logits:
  ``soft_labels.pt``);
- ``res_METHOD_DATA_ConvNet_IPCipc.pt``: a dictionary whose ``data`` is a list of ``[images, labels]``, the code of Zhao
  et al. (ICLR 2021) and DC-BENCH's ``DC`` loader, which take the last entry;
- ``lr.pt``: the learned rate, where there is one.

Images are normalised floats, class by class.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distillset.data.spec import Spec
from distillset.data.synthetic import SyntheticSet
from distillset.errors import InputError
from distillset.store import write_folder

LABELS_BESIDE = {"images_best.pt": "labels_best.pt", "images.pt": "labels.pt"}


def write_pt(synthetic: SyntheticSet, out: Path) -> list[str]:
    """Write every layout; the folder appears whole or not at all."""
    synthetic = synthetic.formed()
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

    write_folder(out, write)
    return notes


def read_pt(file: str | Path, labels: str | Path | None, spec: Spec, *, method: str = "imported") -> SyntheticSet:
    """A set from a ``.pt`` file of any of the layouts above, or of ``(images, labels)``.

    Args:
        file: with the images. Where it holds nothing else, labels come from ``labels``, from ``labels_best.pt`` beside
            ``images_best.pt``, or else are the classes in their order, equally many each. A learned rate comes from
            ``lr.pt`` beside it.
        labels: a file with the labels: int [N], or float [N, classes], which are taken as probabilities where every
            row is one and as logits where not.
        spec: classes, size and the normalisation that the images were made with.
        method: what to call the method in the card.

    Raises:
        InputError: a file holds more than plain values and tensors, or what it holds does not fit ``spec``.
    """
    path = Path(file)
    images, found = _unpack(_load(path), path)
    if labels is not None and found is not None:
        raise InputError(f"{path}: holds labels as well; leave {labels} out")
    beside = path.with_name(LABELS_BESIDE.get(path.name, path.name))
    if labels is not None:
        found = _load(Path(labels))
    elif found is None and beside != path and beside.is_file():
        found = _load(beside)
    images = spec.normalise(images) if images.dtype == torch.uint8 else images.detach().float()
    card = {"method": method, "imported": path.name}
    rate = path.with_name("lr.pt") if path.name in LABELS_BESIDE else None
    lr = float(_load(rate)) if rate is not None and rate.is_file() else None
    return SyntheticSet(images.cpu().contiguous(), _labels(found, len(images), spec, path), spec, card, lr=lr)


def _load(path: Path) -> Any:
    """What a file holds.

    Raises:
        InputError: it is missing, is no ``.pt`` file, or holds objects, which loading would have to run code for.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        return torch.load(io.BytesIO(path.read_bytes()), map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler of hostile bytes raises whatever it likes
        first = " ".join(str(error).split())[:160]
        raise InputError(f"{path}: not read; it has to be a .pt file of tensors and plain values ({first})") from None


def _unpack(value: Any, path: Path) -> tuple[Tensor, Any]:
    """Images, and labels where they lie beside them."""
    if isinstance(value, dict):
        if isinstance(value.get("data"), list | tuple) and value["data"]:
            return _unpack(value["data"][-1], path)
        for images, labels in (("images", "labels"), ("image", "label"), ("x", "y")):
            if images in value:
                return _unpack([value[images], value.get(labels)], path)
    if isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[0], Tensor):
        return value[0], value[1]
    if isinstance(value, Tensor):
        return value, None
    keys = f" with the keys {', '.join(map(str, value))}" if isinstance(value, dict) else ""
    raise InputError(
        f"{path}: a {type(value).__name__}{keys}; expected a tensor of images, [images, labels], or a dictionary with "
        "`data` or `images`"
    )


def _labels(found: Any, count: int, spec: Spec, path: Path) -> Tensor:
    if found is None:
        if count % spec.classes:
            raise InputError(f"{path}: {count} images without labels do not divide into {spec.classes} classes")
        return torch.arange(spec.classes).repeat_interleave(count // spec.classes)
    labels = torch.as_tensor(found).detach()
    if labels.dim() == 1 and not labels.is_floating_point():
        return labels.long()
    if labels.dim() != 2 or not labels.is_floating_point():
        raise InputError(f"{path}: labels {labels.dtype} {list(labels.shape)}; expected int [N] or float [N, classes]")
    labels = labels.float()
    probable = bool((labels >= 0).all()) and torch.allclose(labels.sum(1), torch.ones(len(labels)), atol=1e-3)
    return labels if probable else labels.softmax(1)


def _space(synthetic: SyntheticSet) -> str:
    if synthetic.whitening is not None:
        return "the ZCA whitening of the artifact: give the evaluating code the same"
    return f"mean {_list(synthetic.spec.mean)}, std {_list(synthetic.spec.std)}; evaluating code has to use the same"


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _word(text: str) -> str:
    return "".join(letter for letter in text if letter.isascii() and letter.isalnum()) or "SET"
