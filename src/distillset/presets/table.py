"""The table of presets. Only numbers that were read in a paper or in its authors' repository are here; a row whose
number could not be confirmed has none.
"""

from dataclasses import asdict
from typing import Any

from distillset.augment import default_strategy
from distillset.presets.papers import PAPERS, dm_lr, loops
from distillset.presets.preset import Accuracy, Ours, Preset
from distillset.presets.trajectories import SETTINGS
from distillset.sources.known import KNOWN

DC_PAPER, NCFM = "DC (ICLR 2021), table 1", "NCFM (CVPR 2025), table 1"
DSA_PAPER, DC_AND_NCFM = "DSA (ICML 2021), as a later paper lists it", "DC (ICLR 2021), as NCFM (CVPR 2025) lists it"

COUNTS = (1, 10, 50)
CLASSES = {"mnist": 10, "fashion_mnist": 10, "svhn": 10, "cifar10": 10, "cifar100": 100, "tiny_imagenet": 200}

# A row: accuracies at 1, 10 and 50 images per class as "mean std", then where they were read.
PUBLISHED: dict[tuple[str, str], tuple[tuple[str, str, str], str]] = {
    ("dc", "mnist"): (("91.7 0.5", "97.4 0.2", "98.8 0.2"), DC_PAPER),
    ("dc", "fashion_mnist"): (("70.5 0.6", "82.3 0.4", "83.6 0.4"), DC_PAPER),
    ("dc", "svhn"): (("31.2 1.4", "76.1 0.6", "82.3 0.3"), DC_PAPER),
    ("dc", "cifar10"): (("28.3 0.5", "44.9 0.5", "53.9 0.5"), DC_PAPER),
    ("dc", "cifar100"): (("12.8 0.3", "25.2 0.3", ""), DC_AND_NCFM),
    ("dsa", "mnist"): (("88.7 0.6", "97.8 0.1", "99.2 0.1"), DSA_PAPER),
    ("dsa", "fashion_mnist"): (("70.6 0.6", "84.6 0.3", "88.7 0.2"), DSA_PAPER),
    ("dsa", "svhn"): (("27.5 1.4", "79.2 0.5", "84.4 0.4"), DSA_PAPER),
    ("dsa", "cifar10"): (("28.8 0.7", "52.1 0.5", "60.6 0.5"), NCFM),
    ("dsa", "cifar100"): (("13.9 0.3", "32.3 0.3", "42.8 0.4"), NCFM),
    ("dm", "mnist"): (("", "", ""), ""),
    ("dm", "fashion_mnist"): (("", "", ""), ""),
    ("dm", "svhn"): (("", "", ""), ""),
    ("dm", "cifar10"): (("26.0 0.8", "48.9 0.6", "63.0 0.4"), NCFM),
    ("dm", "cifar100"): (("11.4 0.3", "29.7 0.3", "43.6 0.4"), NCFM),
    ("dm", "tiny_imagenet"): (("3.9 0.2", "12.9 0.4", "24.1 0.3"), NCFM),
    ("mtt", "cifar10"): (("46.3 0.8", "65.3 0.7", "71.6 0.2"), NCFM),
    ("mtt", "cifar100"): (("24.3 0.3", "40.1 0.4", "47.7 0.2"), NCFM),
    ("mtt", "tiny_imagenet"): (("8.8 0.3", "23.2 0.2", "28.0 0.3"), NCFM),
    ("random", "mnist"): (("64.9 3.5", "95.1 0.9", "97.9 0.2"), DC_PAPER),
    ("random", "fashion_mnist"): (("51.4 3.8", "73.8 0.7", "82.5 0.7"), DC_PAPER),
    ("random", "svhn"): (("14.6 1.6", "35.1 4.1", "70.9 0.9"), DC_PAPER),
    ("random", "cifar10"): (("14.4 2.0", "26.0 1.2", "43.4 1.0"), DC_PAPER),
    ("random", "cifar100"): (("4.2 0.3", "14.6 0.5", "30.0 0.4"), NCFM),
    ("random", "tiny_imagenet"): (("1.4 0.1", "5.0 0.2", "15.0 0.4"), NCFM),
    ("herding", "mnist"): (("89.2 1.6", "93.7 0.3", "94.9 0.2"), DC_PAPER),
    ("herding", "fashion_mnist"): (("67.0 1.9", "71.1 0.7", "71.9 0.8"), DC_PAPER),
    ("herding", "svhn"): (("20.9 1.3", "50.5 3.3", "72.6 0.8"), DC_PAPER),
    ("herding", "cifar10"): (("21.5 1.2", "31.6 0.7", "40.4 0.6"), DC_PAPER),
    ("herding", "cifar100"): (("8.4 0.3", "17.3 0.3", "33.7 0.5"), NCFM),
    ("herding", "tiny_imagenet"): (("2.8 0.2", "6.3 0.2", "16.7 0.3"), NCFM),
    ("k-center", "mnist"): (("89.3 1.5", "84.4 1.7", "97.4 0.3"), DC_PAPER),
    ("k-center", "fashion_mnist"): (("66.9 1.8", "54.7 1.5", "68.3 0.8"), DC_PAPER),
    ("k-center", "svhn"): (("21.0 1.5", "14.0 1.3", "20.1 1.4"), DC_PAPER),
    ("k-center", "cifar10"): (("21.5 1.3", "14.7 0.9", "27.0 1.4"), DC_PAPER),
    ("forgetting", "mnist"): (("35.5 5.6", "68.1 3.3", "88.2 1.2"), DC_PAPER),
    ("forgetting", "fashion_mnist"): (("42.0 5.5", "53.9 2.0", "55.0 1.1"), DC_PAPER),
    ("forgetting", "svhn"): (("12.1 1.7", "16.8 1.2", "27.2 1.5"), DC_PAPER),
    ("forgetting", "cifar10"): (("13.5 1.2", "23.3 1.0", "23.3 1.0"), DC_PAPER),
    ("forgetting", "cifar100"): (("4.5 0.2", "15.1 0.3", "30.5 0.3"), NCFM),
    ("forgetting", "tiny_imagenet"): (("1.6 0.1", "5.1 0.2", "15.0 0.3"), NCFM),
}

OURS = {
    "dc-mnist-1": Ours(1000, "dc-mnist-1-ours", {"batch_real": 32}),
    "dsa-fashion_mnist-1": Ours(1000, "dsa-fashion_mnist-1-ours", {"batch_real": 32}),
    "dm-cifar10-1": Ours(600, "dm-cifar10-1-600-steps"),
    "dm-cifar10-10": Ours(5000, "dm-cifar10-10-ours-5000-steps", {"formation": 2}),
}
"""Row to what measured at least the published accuracy for fewer steps, or more for other settings."""


def _settings(method: str, data: str, ipc: int) -> dict[str, Any]:
    """The fields of a method as published; none for a selection."""
    fields = dict(PAPERS[method].settings)
    siamese = {"augment": default_strategy(KNOWN[data].flip)}
    if method == "dm":
        return {"lr": dm_lr(data, ipc), **fields, **siamese}
    if method in ("dc", "dsa"):
        outer, inner = loops(ipc)
        return {**fields, "outer": outer, "inner": inner, **({"augment": "none"} if method == "dc" else siamese)}
    if method == "mtt":
        row = asdict(SETTINGS[data][ipc])
        del row["whiten"]  # follows from the data: see the method
        return {**row, "momentum": fields["momentum"], **siamese}
    return {}


def _accuracy(text: str, source: str) -> Accuracy | None:
    if not text:
        return None
    mean, std = map(float, text.split())
    return Accuracy(mean, std, source)


def _rows() -> dict[str, Preset]:
    rows = {}
    for (method, data), (accuracies, source) in PUBLISHED.items():
        for ipc, accuracy in zip(COUNTS, accuracies, strict=True):
            name = f"{method}-{data}-{ipc}"
            rows[name] = Preset(
                method,
                data,
                ipc,
                CLASSES[data],
                PAPERS[method].steps,
                method if PAPERS[method].steps else "dc",
                PAPERS[method].title,
                _settings(method, data, ipc),
                _accuracy(accuracy, source),
                OURS.get(name),
            )
    return rows


PRESETS: dict[str, Preset] = _rows()
"""Row such as ``dm-cifar10-10`` to its preset."""
