"""SyntheticSet, the artifact: a few images per class and all that a stranger needs to use them."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from distillset.arguments import number, of_kind, path_of, whole
from distillset.augment import check_formation, unpacked
from distillset.data.arrays import plain
from distillset.data.card import SCHEMA, check_card, check_plain
from distillset.data.grid import GRID, grid, png, write_grid
from distillset.data.origin import without_paths
from distillset.data.spec import Spec
from distillset.data.whiten import Whitening
from distillset.errors import InputError
from distillset.escapes import printable
from distillset.store import checksum, read_json, read_tensors, write_sealed, write_tensors, write_text

TENSORS = "synthetic.safetensors"
CARD = "card.json"
README = "README.md"
LEARNED = "learned."
"""Before the names of `SyntheticSet.learned` where they are stored."""
EXPORTED = "data/train.parquet"
"""What an export adds."""


@dataclass(frozen=True)
class SyntheticSet:
    """A small labelled set of images in normalised space.

    Args:
        images: ``float32 [N, C, H, W]``, normalised with the mean and std of ``spec`` or whitened, class by class; or
            canvases ``[N, C, k*H, k*W]``, of which networks are shown crops.
        labels: ``int64 [N]``, or ``float32 [N, classes]`` probabilities.
        spec: shape, class names and normalisation.
        card: how it was made: method, resolved settings, data, seed, versions, metrics. Plain JSON values.
        whitening: in place of mean and std, where the images are whitened; test images need the same.
        lr: the learned learning rate, where there is one.
        formation: tiles across and down an image, each of which is an image to train on, see `unpacked`.
        learned: what a method learned besides images, labels and learning rate, by the method's names.

    Raises:
        InputError: shapes or values do not fit together.
    """

    images: Tensor
    labels: Tensor
    spec: Spec
    card: dict[str, Any] = field(default_factory=dict)
    whitening: Whitening | None = None
    lr: float | None = None
    formation: int = 1
    learned: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        of_kind("spec", self.spec, Spec, "a Spec")
        of_kind("images", self.images, Tensor, "a tensor")
        of_kind("labels", self.labels, Tensor, "a tensor")
        plain(self.images, "images"), plain(self.labels, "labels")
        images, labels, spec = self.images, self.labels, self.spec
        shape = (images.shape[1], *(k // self.canvas for k in images.shape[2:])) if images.dim() == 4 else ()
        if (
            images.dtype != torch.float32
            or shape != spec.shape
            or not len(images)
            or any(side % self.canvas for side in images.shape[2:])
        ):
            expected = f"float32 [N, {', '.join(map(str, spec.shape))}], N at least 1"
            raise InputError.about(f"images {images.dtype} {list(images.shape)}", f"expected {expected}")
        if not torch.stack(torch.aminmax(images)).isfinite().all():
            raise InputError.about("images", "contain NaN or infinity")
        hard = labels.dtype == torch.int64 and labels.dim() == 1
        soft = labels.dtype == torch.float32 and tuple(labels.shape[1:]) == (spec.classes,)
        if not (hard or soft) or len(labels) != len(images):
            raise InputError.about(
                f"labels {labels.dtype} {list(labels.shape)}",
                f"expected int64 [{len(images)}] or float32 [{len(images)}, {spec.classes}]",
            )
        if hard and not 0 <= int(labels.min()) <= int(labels.max()) < spec.classes:
            span = f"{int(labels.min())} to {int(labels.max())}"
            raise InputError.about("labels", f"found {span}, allowed 0 to {spec.classes - 1}")
        if self.lr is not None and not 0 < number("lr", self.lr) < float("inf"):
            raise InputError("lr", self.lr, "must be a finite number above 0")
        check_formation(whole("formation", self.formation), spec.shape)
        for name, tensor in self.learned.items():
            of_kind(f"learned {name}", tensor, Tensor, "a tensor")
            plain(tensor, f"learned {name}")
            if tensor.numel() and not bool(tensor.isfinite().all()):
                raise InputError.about(f"learned {name}", "contains NaN or infinity")
        if self.whitening is not None and self.whitening.mean.numel() != images[0].numel():
            raise InputError.about(
                f"zca_mean {list(self.whitening.mean.shape)}", f"does not fit images of {list(images.shape[1:])}"
            )

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        spec, card = self.spec, self.card
        shape = "x".join(map(str, self.images.shape[1:]))
        of = f"{len(self)} images of {shape}, {spec.classes} classes, ipc {self.ipc}"
        more = [f"{name} {card[name]}" for name in ("method", "steps") if name in card]
        return printable(f"SyntheticSet({spec.name}: {', '.join([of, *more])})")

    @property
    def classes(self) -> Tensor:
        """The class of each image, with soft labels the most probable one, ``int64 [N]``."""
        return self.labels if self.labels.dim() == 1 else self.labels.argmax(1)

    @property
    def canvas(self) -> int:
        """Images across and down a canvas; 1 for ordinary images. See `distillset.augment.canvas`."""
        return max(1, self.images.shape[-1] // self.spec.width)

    @property
    def ipc(self) -> int:
        """Images per class, of the largest class."""
        return int(torch.bincount(self.classes, minlength=self.spec.classes).max())

    @property
    def pixels(self) -> Tensor:
        """The images as pictures, ``uint8 [N, C, H, W]``."""
        if self.whitening is not None:
            return self.whitening.pictures(self.images)
        return self.spec.denormalise(self.images)

    def unpacked(self) -> "SyntheticSet":
        """The images that networks train on: the tiles of each, enlarged (`distillset.augment.formation`)."""
        if self.formation == 1:
            return self
        images = unpacked(self.images, self.formation)
        return replace(self, images=images, labels=self.labels.repeat_interleave(self.formation**2, 0), formation=1)

    def dataset(self) -> TensorDataset:
        """A ``torch.utils.data.Dataset`` of (normalised image, label), `unpacked`; canvases are whole in it."""
        images = self.unpacked()
        return TensorDataset(images.images, images.labels)

    def _repr_png_(self) -> bytes | None:
        """The picture that a notebook shows: the images, one row per class."""
        return png(grid(self.pixels, self.classes, self.spec.classes))

    def _repr_html_(self) -> str | None:
        """The same with a caption, small pixels kept sharp; None where there is no picture to show."""
        picture = self._repr_png_()
        if picture is None:
            return None
        caption = f"{len(self)} images of {self.spec.classes} classes of {self.spec.name}, a row per class"
        if "method" in self.card:
            caption = f"{self.card['method']}: {caption}"
        caption = printable(caption)
        uri = base64.b64encode(picture).decode("ascii")
        style = "image-rendering: pixelated; max-width: 100%"
        return (
            f'<figure style="margin: 0"><img src="data:image/png;base64,{uri}" alt="{escape(caption)}" style="{style}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )

    def fingerprint(self) -> str:
        """SHA-256 over images, labels, normalisation and the learned learning rate."""
        return checksum(self.tensors())

    def tensors(self) -> dict[str, Tensor]:
        """Stored tensors: ``images`` and ``labels``; ``mean`` and ``std``, or ``zca_matrix`` and ``zca_mean``; ``lr``
        where there is one, ``formation`` where it is not 1; ``learned.NAME`` for all else that was learned.
        """
        tensors = {"images": self.images, "labels": self.labels}
        if self.whitening is None:
            tensors |= {"mean": torch.tensor(self.spec.mean), "std": torch.tensor(self.spec.std)}
        else:
            tensors |= self.whitening.tensors()
        if self.lr is not None:
            tensors["lr"] = torch.tensor(self.lr)
        if self.formation > 1:
            tensors["formation"] = torch.tensor(self.formation)
        return tensors | {f"{LEARNED}{name}": tensor for name, tensor in self.learned.items()}

    def said(self) -> dict[str, Any]:
        """What the card says of the set that its tensors say as well."""
        return {
            "images": list(self.images.shape),
            "ipc": self.ipc,
            "canvas": self.canvas,
            "formation": self.formation,
            "whiten": "none" if self.whitening is None else "zca",
        } | ({"learned": {name: list(tensor.shape) for name, tensor in self.learned.items()}} if self.learned else {})

    def save(self, folder: str | Path) -> Path:
        """Write the artifact: tensors, ``card.json``, ``grid.png`` and a ``README.md``; each file whole or not at all.

        The card is written last, so that a folder with a card is a whole artifact.

        Raises:
            InputError: the card holds a field of another kind than it has to have, see `distillset.data.card`.
        """
        folder = path_of("folder", folder)
        check_plain(self.card, folder / CARD)
        card = {
            "schema": SCHEMA,
            **self.card,
            **self.said(),
            "spec": self.spec.to_json(),
            "fingerprint": self.fingerprint(),
            "versions": versions(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        if self.card.get("fingerprint") == card["fingerprint"]:  # made when, and by what, these numbers were made
            card |= {name: self.card[name] for name in ("versions", "created") if name in self.card}
        check_card(card, folder / CARD)
        (folder / EXPORTED).unlink(missing_ok=True)  # pictures of an earlier set
        write_tensors(folder / TENSORS, self.tensors())
        write_grid(folder / GRID, self.pixels, self.classes, self.spec.classes)
        write_text(folder / README, _readme(card))
        write_sealed(folder / CARD, card)
        return folder

    @staticmethod
    def unfinished(folder: Path) -> bool:
        """Whether a `save` into ``folder`` was cut off: all there is are files that it writes before the card."""
        names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
        return not names or (TENSORS in names and names <= {TENSORS, GRID, README})

    @classmethod
    def load(cls, folder: str | Path) -> "SyntheticSet":
        """Read an artifact and verify it against its card.

        Raises:
            InputError: the folder holds no artifact, an unfinished one, or one that does not match its card.
        """
        folder = path_of("folder", folder)
        if not folder.is_dir():
            raise InputError.about(folder, "no such folder; expected an artifact made by distillset")
        if not (folder / CARD).is_file():
            hint = "; the run is not finished; run its command again" if (folder / "checkpoints").is_dir() else ""
            raise InputError.about(folder, f"no {CARD}, so not a finished artifact{hint}")
        card = check_card(read_json(folder / CARD), folder / CARD)
        tensors, _ = read_tensors(folder / TENSORS)
        whitening = Whitening.of(tensors)
        for name in ("images", "labels", *(("mean", "std") if whitening is None else ())):
            if name not in tensors:
                raise InputError.about(folder / TENSORS, f"tensor {name} is missing")
        lr = _number(folder, tensors, "lr", torch.float32)
        formation = _number(folder, tensors, "formation", torch.int64)
        spec = Spec.from_json(card.get("spec"))
        tiles = 1 if formation is None else formation
        learned = {name.removeprefix(LEARNED): tensor for name, tensor in tensors.items() if name.startswith(LEARNED)}
        synthetic = cls(tensors["images"], tensors["labels"], spec, card, whitening, lr, tiles, learned)
        if synthetic.fingerprint() != card.get("fingerprint"):
            raise InputError.about(folder / TENSORS, f"does not match the fingerprint in {CARD}")
        for name, value in synthetic.said().items():
            if card.get(name, value) != value:
                raise InputError.about(folder / CARD, f"{name} is {card[name]!r}; the set has {value!r}")
        return synthetic


def _number(folder: Path, tensors: Mapping[str, Tensor], name: str, dtype: torch.dtype) -> Any:
    """A stored number; None where there is none."""
    if name not in tensors:
        return None
    tensor = tensors[name]
    if tensor.dim() or tensor.dtype != dtype:
        raise InputError.about(
            folder / TENSORS, f"tensor {name} is {tensor.dtype} {list(tensor.shape)}, expected {dtype} []"
        )
    return tensor.item()


def versions() -> dict[str, str]:
    """Versions of what computed a result."""
    by_package = {}
    for package in ("distillset", "torch"):
        try:
            by_package[package] = version(package)
        except PackageNotFoundError:
            by_package[package] = "unknown"
    return by_package


UNMARKED = str.maketrans({"`": "'", "<": "‹", ">": "›", "|": "/", "[": "(", "]": ")"})


def inline(text: object) -> str:
    """Text of data or a card that cannot break out of a line of Markdown, nor mark anything up in it."""
    plain = " ".join(str(text).translate(UNMARKED).split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in plain)


def _readme(card: dict[str, Any]) -> str:
    card = without_paths(card)
    spec, method = card["spec"], inline(card.get("method", "unknown"))
    by = inline(card["versions"].get("distillset", "unknown"))
    data = inline((card.get("data") or {}).get("source", "unknown"))
    normalised = f"""normalised as `(pixel / 255 - mean) / std`,
  mean {spec["mean"]}, std {spec["std"]}"""
    if card["whiten"] == "zca":
        normalised = "whitened: `(pixel / 255 - zca_mean) @ zca_matrix`,\n  each image as one vector"
    if card.get("learned"):
        normalised += f"\n- Learned besides: {', '.join(map(inline, card['learned']))} (`SyntheticSet.learned`)"
    names = ", ".join(map(inline, spec["class_names"][:20])) + (", ..." if len(spec["class_names"]) > 20 else "")
    if card["canvas"] > 1:
        side, size = card["canvas"], f"{spec['height']}x{spec['width']}"
        normalised += f"""
- Each is a canvas of {side}x{side} images: a network is shown a crop of {size}, drawn anew every time, anywhere, with
  wrap-around (`distillset.augment.Crop`)"""
    if card["formation"] > 1:
        tiles = f"{card['formation']}x{card['formation']}"
        normalised += f"""
- Each holds {tiles} smaller images, to be enlarged for training (`SyntheticSet.unpacked`)"""
    return f"""# {card["images"][0]} images for {inline(spec["name"])}

![the images, a row per class]({GRID})

- Made by distillset {by}: method `{method}`, {card["ipc"]} images per class, from `{data}`
- Images: `float32 {card["images"]}` in `{TENSORS}`, {normalised}
- Classes: {names}
- Fingerprint: `{card["fingerprint"]}`

```python
import distillset as ds

synthetic = ds.SyntheticSet.load("path/to/this/folder")
dataset = synthetic.dataset()  # a torch Dataset of (normalised image, label)
```

Everything else about how it was made is in `{CARD}`.
"""
