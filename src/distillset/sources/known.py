"""The data sets that are known by name: where they are found, and how the papers normalise them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from distillset.errors import InputError, nearest
from distillset.sources.digits import open_digits
from distillset.sources.imagenet import FOLDERS, SUBSETS
from distillset.sources.splits import Split
from distillset.tables import PluginTable, instance_of


@dataclass(frozen=True)
class Known:
    """A known data set.

    Args:
        hub: its name on the Hugging Face hub; None where it is not there.
        configuration: which of the hub's configurations.
        mean: per channel, of pixels in [0, 1], as the papers' code has it; None to measure it.
        std: the same.
        flip: whether a horizontal flip keeps the class.
        classes: wnid to name of the classes that make a subset of ImageNet, in order; None for a whole set.
        folders: other names of folders that hold it, looked for after its own, whatever their capitals and dashes.
        family: which of EMNIST's sets it is.
        note: what has to be said of the hub's copy.
        open: its splits, where a package holds or makes it: neither a folder nor the hub is asked then.
    """

    hub: str | None = None
    configuration: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    flip: bool = True
    classes: Mapping[str, str] | None = None
    folders: tuple[str, ...] = ()
    family: str = ""
    note: str | None = None
    open: Callable[[], Mapping[str, Split]] | None = None

    def __post_init__(self) -> None:
        if (self.mean is None) != (self.std is None) or len(self.mean or ()) != len(self.std or ()):
            raise InputError("mean", self.mean, f"must have a number for every channel, as std has: {self.std}")

    def identity(self) -> dict[str, Any]:
        """What decides what is decoded, as JSON values; part of the cache's key."""
        stated = {name: getattr(self, name) for name in ("hub", "configuration", "mean", "std", "flip")}
        return stated if self.classes is None else {**stated, "classes": list(self.classes.items())}


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _subset(name: str, hub: str = "ILSVRC/imagenet-1k", configuration: str | None = None, note: str = "") -> Known:
    return Known(
        hub,
        configuration,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        classes=SUBSETS[name],
        folders=(*FOLDERS, *(f"{name}2{size}" for size in ("", "-320", "-160"))),
        note=f"{name}: {note}" if note else None,
    )


RESPLIT = "this copy has another split; the papers use ImageNet's own training and validation images of these classes"

# Means and deviations as in the code of Zhao, Mopuri and Bilen, "Dataset Condensation with Gradient Matching" (ICLR
# 2021), which later papers took over, and for the subsets of ImageNet in that of Cazenavette et al. (CVPR 2022); the
# former leaves the flip out for handwritten digits and house numbers. Neither has the characters of KMNIST and EMNIST,
# which a mirror turns into others as it does digits. The hub's EMNIST is the one of 26 letters.
_PUBLISHED = {
    "digits": Known(flip=False, open=open_digits),
    "mnist": Known("ylecun/mnist", mean=(0.1307,), std=(0.3081,), flip=False, folders=("mnist-original",)),
    "fashion_mnist": Known("zalando-datasets/fashion_mnist", mean=(0.2861,), std=(0.3530,)),
    "kmnist": Known("tanganke/kmnist", flip=False),
    "emnist": Known("tanganke/emnist_letters", flip=False, family="letters", folders=("emnist-letters",)),
    "usps": Known("flwrlabs/usps", flip=False),
    "stl10": Known("tanganke/stl10", folders=("stl10_binary", "stl-10-binary")),
    "svhn": Known(
        "ufldl-stanford/svhn",
        "cropped_digits",
        mean=(0.4377, 0.4438, 0.4728),
        std=(0.1980, 0.2010, 0.1970),
        flip=False,
    ),
    "cifar10": Known(
        "uoft-cs/cifar10",
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2023, 0.1994, 0.2010),
        folders=("cifar-10-batches-py", "cifar-10-batches-bin", "cifar-10-python", "cifar-10-binary"),
    ),
    "cifar100": Known(
        "uoft-cs/cifar100",
        mean=(0.5071, 0.4866, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
        folders=("cifar-100-python", "cifar-100-binary"),
    ),
    "tiny_imagenet": Known(
        "zh-plus/tiny-imagenet", mean=IMAGENET_MEAN, std=IMAGENET_STD, folders=("tiny-imagenet-200", "tiny-imagenet")
    ),
    "imagenette": _subset("imagenette", "frgfm/imagenette", "320px", RESPLIT),
    "imagewoof": _subset("imagewoof", "frgfm/imagewoof", "320px", RESPLIT),
    "imagefruit": _subset("imagefruit"),
    "imagemeow": _subset("imagemeow"),
    "imagesquawk": _subset("imagesquawk"),
    "imageyellow": _subset("imageyellow"),
}
KNOWN: PluginTable[Known] = PluginTable("data set", "distillset.datasets", _PUBLISHED, instance_of(Known))
"""What `distillset.load` takes by name."""


def unknown(name: str, field: str = "data") -> InputError:
    """The error for a name that is neither in the table nor on the disk, with the nearest name."""
    hint = nearest(name.lower().replace("-", "_"), KNOWN, cutoff=0.5)
    return InputError(
        field,
        name,
        f"no such data set, folder or file{hint}; known names are {', '.join(KNOWN)}; "
        "a folder, a .safetensors or a .npz file is taken as well",
    )
