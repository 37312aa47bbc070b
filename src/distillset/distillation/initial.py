"""Where the synthetic images start."""

from collections.abc import Callable
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distillset.arguments import path_of
from distillset.data.real import RealSet
from distillset.data.synthetic import SyntheticSet
from distillset.errors import InputError
from distillset.keys import Key, fold, normal

KMEANS_SAMPLE = 5000


def from_real(real: RealSet, ipc: int, key: Key) -> Tensor:
    """Real images, drawn without replacement while a class lasts: ``float32 [classes*ipc, C, H, W]``."""
    return torch.cat([real.rows(rows) for rows in real_rows(real, ipc, key).split(ipc)])


def real_rows(real: RealSet, ipc: int, key: Key) -> Tensor:
    """The rows that `from_real` takes, class by class: ``int64 [classes*ipc]``."""
    return torch.cat([real.draw_rows(c, ipc, key(c)) for c in range(real.spec.classes)])


def from_noise(real: RealSet, ipc: int, key: Key) -> Tensor:
    """Standard normal noise in normalised space, as in DC (ICLR 2021, section 4.1)."""
    images = torch.empty(real.spec.classes * ipc, *real.spec.shape)
    streams = fold(key.words(), torch.arange(real.spec.classes))
    for part, stream in zip(images.split(ipc), streams, strict=True):  # class by class, to hold it once
        part.copy_(normal(stream, part.shape))
    return images


def from_kmeans(real: RealSet, ipc: int, key: Key) -> Tensor:
    """The centres of ``ipc`` clusters of the pixels of each class (scikit-learn's k-means, on at most 5,000 images).

    A class with fewer images than ``ipc`` gives each of its images once; the rest are drawn as in `from_real`.
    """
    from sklearn.cluster import KMeans

    parts = []
    for c in range(real.spec.classes):
        count = int(real.counts[c])
        if count <= ipc:
            parts.append(real.draw(c, ipc, key(c)))
            continue
        images = real.draw(c, min(count, KMEANS_SAMPLE), key(c))
        seed = key(c, "kmeans").integer() % 2**32
        centres = KMeans(ipc, n_init=1, random_state=seed).fit(images.flatten(1).numpy()).cluster_centers_
        parts.append(torch.from_numpy(centres).float().reshape(ipc, *real.spec.shape))
    return torch.cat(parts)


def from_artifact(folder: str, real: RealSet, ipc: int) -> Tensor:
    """The images of an earlier artifact, normalised anew for ``real``; the first ``ipc`` of each class.

    Raises:
        InputError: other classes or another image size, or fewer images per class.
    """
    synthetic = SyntheticSet.load(folder).unpacked()
    if synthetic.canvas > 1:
        raise InputError(
            "init",
            folder,
            f"holds canvases of {synthetic.canvas}x{synthetic.canvas} images, but a run starts from ordinary images",
        )
    if synthetic.spec.shape != real.spec.shape or synthetic.spec.class_names != real.spec.class_names:
        raise InputError(
            "init", folder, f"its images {synthetic.spec.shape} of {synthetic.spec.name} do not fit {real.spec.name}"
        )
    classes, parts = synthetic.classes, []
    for c in range(real.spec.classes):
        rows = torch.nonzero(classes == c).flatten()[:ipc]
        if len(rows) < ipc:
            raise InputError(
                "init",
                folder,
                f"holds {len(rows)} images of class {real.spec.class_names[c]!r}; `ipc={ipc}` needs {ipc}",
            )
        parts.append(synthetic.images[rows])
    images = torch.cat(parts)
    if synthetic.whitening is not None or real.whitening is not None:
        return _renormalised(synthetic, real, images)
    old, new = synthetic.spec, real.spec
    shift = [torch.tensor(values).view(-1, 1, 1) for values in (old.mean, old.std, new.mean, new.std)]
    same = (old.mean, old.std) == (new.mean, new.std)
    return images if same else (images * shift[1] + shift[0] - shift[2]) / shift[3]


def _renormalised(synthetic: SyntheticSet, real: RealSet, images: Tensor) -> Tensor:
    """From one normalisation to another by way of pixels around [0, 1], neither rounded nor clamped."""
    before, after = synthetic.whitening, real.whitening
    if before is not None and after is not None and before.fingerprint() == after.fingerprint():
        return images
    old, new = [
        [torch.tensor(values).view(-1, 1, 1) for values in (spec.mean, spec.std)]
        for spec in (synthetic.spec, real.spec)
    ]
    pixels = images * old[1] + old[0] if before is None else before.invert(images)
    return (pixels - new[0]) / new[1] if after is None else after.apply(pixels)


INITS: dict[str, Callable[[RealSet, int, Key], Tensor]] = {
    "real": from_real,
    "noise": from_noise,
    "kmeans": from_kmeans,
}


def named(init: Any) -> str:
    """A name of `INITS` as it is, a path as text, with ``~`` replaced.

    Raises:
        InputError: neither.
    """
    if not isinstance(init, str | PathLike):
        raise InputError("init", init, f"choose {', '.join(INITS)}, or the folder of an earlier artifact")
    text = fspath(init)
    path = path_of("init", text)
    return str(path) if text.startswith("~") else text


def initial(init: str, real: RealSet, ipc: int, key: Key) -> Tensor:
    """The initial images by a name of `INITS` or from an artifact's folder, ``float32 [classes*ipc, C, H, W]``.

    Raises:
        InputError: neither a name nor a folder, or a folder whose images do not fit.
    """
    if init in INITS:
        return INITS[init](real, ipc, key)
    if not Path(init).is_dir():
        raise InputError("init", init, f"choose {', '.join(INITS)}, or the folder of an earlier artifact")
    return from_artifact(init, real, ipc)
