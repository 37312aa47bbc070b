"""The data sets that are known by name: where they are found, and how the papers normalise them."""

import difflib
from dataclasses import dataclass

from distillset.errors import InputError


@dataclass(frozen=True)
class Known:
    """A known data set.

    Args:
        hub: its name on the Hugging Face hub; None for what is embedded.
        configuration: which of the hub's configurations.
        mean: per channel, of pixels in [0, 1], as the papers' code has it; None to measure it.
        std: the same.
        flip: whether a horizontal flip keeps the class.
    """

    hub: str | None
    configuration: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    flip: bool = True


# Means and deviations as in the code of Zhao, Mopuri and Bilen, "Dataset Condensation with Gradient Matching" (ICLR
# 2021), which later papers took over; their augmentation leaves the flip out for handwritten digits and house numbers.
KNOWN: dict[str, Known] = {
    "digits": Known(hub=None, flip=False),
    "mnist": Known("ylecun/mnist", mean=(0.1307,), std=(0.3081,), flip=False),
    "fashion_mnist": Known("zalando-datasets/fashion_mnist", mean=(0.2861,), std=(0.3530,)),
    "usps": Known("flwrlabs/usps", flip=False),
    "svhn": Known(
        "ufldl-stanford/svhn",
        "cropped_digits",
        mean=(0.4377, 0.4438, 0.4728),
        std=(0.1980, 0.2010, 0.1970),
        flip=False,
    ),
    "cifar10": Known("uoft-cs/cifar10", mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010)),
    "cifar100": Known("uoft-cs/cifar100", mean=(0.5071, 0.4866, 0.4409), std=(0.2673, 0.2564, 0.2762)),
}


def unknown(name: str) -> InputError:
    """The error for a name that is neither in the table nor on the disk, with the nearest name."""
    near = difflib.get_close_matches(name.lower().replace("-", "_"), KNOWN, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return InputError(
        f"--data {name}: no such data set, folder or file{hint}; known names are {', '.join(KNOWN)}; "
        "a folder, a .safetensors or a .npz file is taken as well"
    )
