"""Images as a page can hold them: a strip of pictures for each class and snapshot, each a PNG inside the page."""

import base64
import io
from dataclasses import dataclass

import torch
from torch import Tensor

from distillset.data.synthetic import SyntheticSet
from distillset.errors import InputError

BUDGET = 24_000_000
"""Bytes of uncompressed pixels that a run may bring to a page; PNG makes them about half, base64 a third more."""

MOST_CLASSES, MOST_IMAGES = 200, 50
ALONE, BESIDE = 10, 5
"""Most images side by side in a strip: of a run alone, and of one beside others, where strips are narrow."""


@dataclass(frozen=True)
class Frame:
    """The pictures of one step: a data URI for each class shown."""

    step: int
    strips: tuple[str, ...]


@dataclass(frozen=True)
class Sheet:
    """How the pictures of a run are laid out.

    Args:
        rows: for each class shown, which images; the same at every step.
        class_names: of the classes shown.
        width, height: of one image in pixels.
        columns: images side by side in a strip.
        notes: what was left out.
    """

    rows: tuple[Tensor, ...]
    class_names: tuple[str, ...]
    width: int
    height: int
    columns: int
    notes: tuple[str, ...]

    def frame(self, step: int, pixels: Tensor) -> Frame:
        """The strips of ``pixels``, ``uint8 [N, C, H, W]``."""
        return Frame(step, tuple(_uri(strip(pixels[rows], self.columns)) for rows in self.rows))


def plan(synthetic: SyntheticSet, snapshots: int, columns: int = ALONE) -> tuple[Sheet, int]:
    """The layout for a set, and how many of its snapshots fit beside it into `BUDGET`, at least 1."""
    spec, classes = synthetic.spec, synthetic.classes
    shown = min(spec.classes, MOST_CLASSES)
    most = min(synthetic.ipc, MOST_IMAGES)
    size = shown * spec.channels * spec.height * spec.width
    most = max(1, min(most, BUDGET // size))
    count = max(1, min(snapshots, BUDGET // (size * most)))
    rows = tuple(torch.nonzero(classes == c).flatten()[:most] for c in range(shown))
    notes = []
    if shown < spec.classes:
        notes.append(f"pictures of the first {shown} of {spec.classes} classes")
    if most < synthetic.ipc:
        notes.append(f"the first {most} of {synthetic.ipc} images per class")
    if count < snapshots:
        notes.append(f"about {count} of {snapshots} snapshots")
    if spec.channels not in (1, 3, 4):
        notes.append(f"images of {spec.channels} channels, shown as the grey mean of them")
    names = spec.class_names[:shown]
    return Sheet(rows, names, spec.width, spec.height, min(columns, most), tuple(notes)), count


def strip(pixels: Tensor, columns: int) -> Tensor:
    """Images beside each other, ``columns`` in a row, ``uint8 [C, rows*H, columns*W]``; what is left empty is 0."""
    if pixels.shape[1] not in (1, 3, 4):
        pixels = pixels.float().mean(1, keepdim=True).round().to(torch.uint8)
    count, channels, height, width = pixels.shape
    lines = max(1, -(-count // columns))
    canvas = torch.zeros(lines * columns, channels, height, width, dtype=torch.uint8)
    canvas[:count] = pixels
    lined: Tensor = canvas.unflatten(0, (lines, columns)).permute(2, 0, 3, 1, 4)
    return lined.reshape(channels, lines * height, columns * width)


def _uri(picture: Tensor) -> str:
    try:
        from PIL import Image
    except ImportError:
        raise InputError.about("report", "Pillow is not installed; pip install pillow") from None
    file = io.BytesIO()
    Image.fromarray(picture.permute(1, 2, 0).squeeze(-1).numpy()).save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
