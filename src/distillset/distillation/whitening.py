"""The whitening of a run, or of the experts in a folder: found, fitted, cached."""

import math
from pathlib import Path

from distillset.arguments import text
from distillset.data.real import RealSet
from distillset.data.spec import Spec
from distillset.data.whiten import FILE, WHITENINGS, Whitening, check_size
from distillset.errors import InputError, unwritable
from distillset.mesh import Mesh, Solo
from distillset.methods import Method
from distillset.store import cache_folder
from distillset.trust import doubt, shut
from distillset.watch import Watcher


def whitened(real: RealSet, whiten: str, folder: Path | None, watcher: Watcher, mesh: Mesh | None = None) -> RealSet:
    """``real`` under ``whiten``: ``none``, or ``zca`` fitted on it.

    What was fitted is found in ``folder``, if `keep` put it there, else in the cache, else it is fitted and cached.

    Args:
        real: the training set.
        whiten: ``none`` or ``zca``, as `chosen` gives it.
        folder: of a run; None if there is none.
        watcher: is notified of what takes long.
        mesh: ranks that are all to have the writing one's.

    Raises:
        InputError: another set's whitening in ``folder``.
    """
    if whiten == "none":
        return real
    whitening = _found(real, folder, watcher)
    (mesh or Solo()).copy([whitening.matrix, whitening.mean])
    return real.whitened(whitening)


def _found(real: RealSet, folder: Path | None, watcher: Watcher) -> Whitening:
    stored = folder / FILE if folder else None
    if stored and stored.is_file():
        return Whitening.load(stored, real.fingerprint())
    cached = cache_folder("whitenings") / f"{real.fingerprint()[:32]}.safetensors"
    whitening = _known(cached, real.fingerprint())
    if whitening is None:
        watcher.note(f"fitting ZCA whitening to {len(real)} images")
        whitening = Whitening.fit(real.images)
        try:
            whitening.save(cached, real.fingerprint())
            shut(cached)
        except OSError as error:
            watcher.note(str(unwritable(f"the whitening is not stored: {cached}", error)))
    return whitening


def chosen(whiten: str, method: Method, spec: Spec, ipc: int) -> str:
    """The whitening of a run, ``none`` or ``zca``.

    Args:
        whiten: one of `WHITENINGS`. ``auto`` is what was published for the method and data; ``zca-large`` is ``zca``
            for images above 32x32x3 as well, whose matrix is large.
        method: resolved for the data.
        spec: of the data.
        ipc: images per class.

    Raises:
        InputError: an unknown name, or images that cannot be whitened.
    """
    if text("whiten", whiten) not in WHITENINGS:
        raise InputError("whiten", whiten, f"choose {', '.join(WHITENINGS)}")
    if whiten in ("zca", "zca-large") and method.canvas > 1:
        raise InputError(
            "whiten", whiten, "zca whitens single images, and no canvases; use `whiten='none'`, or `canvas=1`"
        )
    asked = method.whitening(spec, ipc) if whiten == "auto" else whiten
    name = "none" if asked == "none" else "zca"
    if name == "zca":
        check_size(math.prod(spec.shape), large=whiten == "zca-large")
    return name


def keep(real: RealSet, folder: Path | None) -> None:
    """Store the whitening of ``real``, if it has one, with the run: resumed, it has the same numbers on any machine."""
    if folder and real.whitening is not None and not (folder / FILE).is_file():
        real.whitening.save(folder / FILE, real.fingerprint())


def _known(path: Path, data: str) -> Whitening | None:
    """What the cache holds; a damaged file counts as nothing, and so does one that others could have changed."""
    try:
        return None if doubt(path) else Whitening.load(path, data)
    except InputError:
        return None
