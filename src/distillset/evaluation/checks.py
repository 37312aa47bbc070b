"""Whether data fit an artifact: what does not is refused by name before anything is trained."""

from distillset.data.real import RealSet
from distillset.data.synthetic import SyntheticSet
from distillset.errors import InputError


def check_fit(part: str, real: RealSet, synthetic: SyntheticSet) -> None:
    """Whether ``real`` has the artifact's image size, classes and whitening.

    Sets of which one numbers its classes ("0", "1", ...) fit by the number of classes.

    Args:
        part: what messages call ``real``: the ``test`` or the ``training`` set.
        real: what the artifact is to be used with.
        synthetic: the artifact.

    Raises:
        InputError: one differs; the message names both values.
    """
    mine, other = synthetic.spec, real.spec
    if other.shape != mine.shape or other.classes != mine.classes:
        raise InputError.about(
            f"{part} set {other.name}",
            f"{other.classes} classes of {other.shape} do not fit the artifact's {mine.classes} of {mine.shape}",
        )
    numbered = tuple(str(label) for label in range(mine.classes))
    if numbered not in (mine.class_names, other.class_names) and mine.class_names != other.class_names:
        label = next(c for c in range(mine.classes) if mine.class_names[c] != other.class_names[c])
        raise InputError.about(
            f"{part} set {other.name}",
            f"class {label} is {other.class_names[label]}, but the artifact's is {mine.class_names[label]}; load it "
            "with `classes` in the artifact's order",
        )
    settings = synthetic.card.get("settings")
    whiten = settings.get("whiten", "none") if isinstance(settings, dict) else "none"
    if whiten != "none" and synthetic.whitening is None:
        raise InputError.about(
            f"{part} set {other.name}",
            f"is not whitened, but the artifact's card says whiten {whiten!r}, and its "
            "matrices to whiten with are missing",
        )
