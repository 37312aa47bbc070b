"""Whether a folder holds what its card says: every checksum and fingerprint is computed again."""

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from distillset.arguments import path_of
from distillset.data.grid import GRID, grid, png
from distillset.data.measure import content_fingerprint
from distillset.data.real import RealSet
from distillset.data.rows import ACCURACY, read_rows, stale
from distillset.data.synthetic import CARD, SyntheticSet
from distillset.distillation.run_folder import RunFolder
from distillset.errors import InputError
from distillset.store import SEAL, read_json, read_tensors


@dataclass(frozen=True)
class Check:
    """One check: ``holds`` is its outcome, None if there was nothing to check; ``told`` describes it in words."""

    name: str
    holds: bool | None
    told: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def verify(folder: str | Path, data: RealSet | None = None) -> list[Check]:
    """Check an artifact against its card, and what a run left beside it.

    Args:
        folder: the artifact's.
        data: the training set, whose pixels are then fingerprinted as well; cropped to classes and size as it was for
            the artifact.

    Returns:
        A check each for the card's seal, the set (its tensors' checksum, their fingerprint, numbers that fit the spec),
        what the card says of it, the picture, the snapshots, the checkpoints, the accuracies kept beside it and the
        data. Where the set itself does not hold the list ends with that.

    Raises:
        InputError: there is no such folder, or nothing in it that could be an artifact.
    """
    folder = path_of("folder", folder)
    if not folder.is_dir():
        raise InputError.about(folder, "no such folder; expected an artifact made by distillset")
    if not (folder / CARD).is_file():
        raise InputError.about(folder, f"no {CARD}, so not a finished artifact")
    checks = [_checked("card", lambda: _card(folder))]
    loaded: list[SyntheticSet] = []

    def load() -> str:
        loaded.append(SyntheticSet.load(folder))
        return f"{list(loaded[0].images.shape)}, fingerprint {loaded[0].fingerprint()}"

    checks.append(_checked("set", load))
    if not loaded:
        return checks
    synthetic = loaded[0]
    said = ", ".join(f"{field} {value}" for field, value in synthetic.said().items())
    checks.append(Check("said", True, said))  # else it would not have been loaded
    checks.append(_checked("picture", lambda: _picture(folder, synthetic)))
    checks.append(_checked("snapshots", lambda: _snapshots(folder, synthetic)))
    checks.append(_checked("checkpoints", lambda: _checkpoints(folder, synthetic)))
    checks.append(_checked("accuracies", lambda: _accuracies(folder, synthetic)))
    checks.append(_checked("data", lambda: _data(synthetic, data)))
    return checks


def _checked(name: str, look: Callable[[], str | None]) -> Check:
    try:
        result = look()
    except InputError as error:
        return Check(name, False, str(error))
    return Check(name, None, "nothing to check") if result is None else Check(name, True, result)


def _card(folder: Path) -> str:
    card = read_json(folder / CARD)
    if f'"{SEAL}"' not in (folder / CARD).read_text(encoding="utf-8"):
        return "readable; without a seal, so what it says beyond the set itself may have been changed"
    return f"sealed, schema {card.get('schema') if isinstance(card, dict) else None}"


def _picture(folder: Path, synthetic: SyntheticSet) -> str | None:
    """Whether ``grid.png`` shows the set."""
    path = folder / GRID
    if not path.is_file():
        return None
    wanted = png(grid(synthetic.pixels, synthetic.classes, synthetic.spec.classes))
    if wanted is None or _pixels(path) != _pixels(wanted):
        raise InputError.about(path, "does not show the images of the set")
    return f"{GRID} shows the set"


def _pixels(file: Path | bytes) -> tuple[Any, bytes]:
    """Size and content of a picture: another version of the encoder may have packed it otherwise."""
    import io

    from PIL import Image

    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
            return (image.mode, image.size), image.tobytes()
    except Exception as error:  # whatever damaged bytes lead a decoder to
        raise InputError.about(file if isinstance(file, Path) else GRID, f"not a readable picture ({error})") from None


def _snapshots(folder: Path, synthetic: SyntheticSet) -> str | None:
    """Whether every snapshot is whole, and the one of the last step is the set."""
    paths = dict(_steps(folder / "snapshots"))
    for path in paths.values():
        read_tensors(path)
    last = paths.get(synthetic.card.get("steps", -1))
    if last is not None:
        tensors, expected = read_tensors(last)[0], synthetic.tensors()
        for name in tensors.keys() & expected.keys():
            # The rate is one number in a snapshot, as a leaf of the run, and a scalar in the set.
            if not torch.equal(tensors[name].to(expected[name].dtype).flatten(), expected[name].flatten()):
                raise InputError.about(last, f"its {name} differ from those of the set, which is of the same step")
    return f"{len(paths)} whole" if paths else None


def _checkpoints(folder: Path, synthetic: SyntheticSet) -> str | None:
    """Whether every checkpoint is whole, and none goes beyond the set."""
    if not (folder / "checkpoints").is_dir():
        return None
    checkpoint, notes = RunFolder(folder).latest()
    if notes:
        raise InputError.about(folder / "checkpoints", "; ".join(notes))
    if checkpoint is None:
        return None
    if checkpoint.step != synthetic.card.get("steps"):
        raise InputError.about(
            folder,
            f"the last checkpoint is of step {checkpoint.step}, the set of step "
            f"{synthetic.card.get('steps')}; the run is not finished; run its command again",
        )
    return f"whole, the last of step {checkpoint.step}"


def _accuracies(folder: Path, synthetic: SyntheticSet) -> str | None:
    """Whether what was measured was measured of this set, and not of one that lay here before."""
    path = folder / ACCURACY
    if not path.is_file():
        return None
    rows = read_rows(path)
    if fault := stale(rows, synthetic.fingerprint()):
        raise InputError.about(path, fault)
    return f"{len(rows)} rows of this set"


def _data(synthetic: SyntheticSet, data: RealSet | None) -> str | None:
    if data is None:
        return None
    said = (synthetic.card.get("data") or {}).get("fingerprint")
    true = content_fingerprint(data.images, data.labels, data.spec.class_names)
    if said != true:
        raise InputError.about("the training set", f"its fingerprint is {true}; the card says {said}")
    return f"{len(data)} images, fingerprint {true}"


def _steps(folder: Path) -> Iterator[tuple[int, Path]]:
    for path in sorted(folder.glob("step-*.safetensors")):
        if match := re.fullmatch(r"step-(\d+)\.safetensors", path.name):
            yield int(match[1]), path
