"""An operation's parameters, read back from its row of numbers."""

import math

from torch import Tensor

from distillset.augment.operations import COLUMNS

FULL = "color_crop_cutout_flip_scale_rotate"
NAMES = FULL.split("_")


def parameters(name: str, row: Tensor, shape: tuple[int, int, int]) -> list[float]:
    """As `distillset.augment.Table.of` takes them."""
    number = dict(zip(COLUMNS, row.tolist(), strict=True))
    match name:
        case "color":
            return [number["brightness"], number["saturation"], number["contrast"]]
        case "crop":
            return [number["row_shift"], number["column_shift"]]
        case "cutout":
            # Half of each side, rounded up at a half; the centre is half a box after its first pixel, rounded down.
            box = [math.floor(0.5 * length + 0.5) for length in shape[1:]]
            assert (number["bottom"] - number["top"], number["right"] - number["left"]) == tuple(box)
            return [number["top"] + box[0] // 2, number["left"] + box[1] // 2]
        case "flip":
            return [float(number["column_by_column"] == -1)]
        case "scale":
            return [number["row_by_row"], number["column_by_column"]]
        case _:
            return [math.atan2(number["row_by_column"], number["row_by_row"])]
