"""The embedded data set: 1,797 real handwritten digits of 8x8 pixels, which come with scikit-learn."""

import torch

from distillset.data.real import held_out_rows
from distillset.errors import InputError
from distillset.keys import Key
from distillset.sources.splits import Split, rows_of_tensor

TEST_SHARE = 0.2


def open_digits() -> dict[str, Split]:
    """Train and test split of scikit-learn's digits, grey values 0 to 16 scaled to 0 to 255; the test split is fixed.

    Raises:
        InputError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise InputError.about(
            "digits", "the digits come with the package scikit-learn; install it with: pip install scikit-learn"
        ) from None
    raw = load_digits()
    pixels = torch.from_numpy(raw.images).mul(255 / 16).round().to(torch.uint8).unsqueeze(1)
    labels = torch.from_numpy(raw.target).to(torch.int64)
    held = held_out_rows(labels, 10, TEST_SHARE, Key(0)("digits"))
    names = tuple(str(name) for name in raw.target_names)

    def split(name: str, rows: torch.Tensor) -> Split:
        chosen = pixels[rows]
        return Split(
            name=f"digits, split {name}",
            labels=labels[rows],
            class_names=names,
            read=lambda rows: rows_of_tensor(chosen, rows),
            row=lambda row: f"digits, split {name}, row {row}",
        )

    return {"train": split("train", ~held), "test": split("test", held)}
