"""Augmentation: a table of numbers, one row per image, drawn and applied where the images are.

How to use it in a step, for the ``k`` classes of a block, whatever the device::

    words = fold(key.words(device), classes)  # int64 [k, 2], a stream per class
    table = augmentation.draw(words, shape)  # k rows, each an operation with its parameters
    real = table.repeat(256).apply(real)  # [k * 256, C, H, W], class by class
    synthetic = table.repeat(ipc).apply(synthetic)

Networks are trained with ``augmentation.draw(words, shape, count)``: one operation per stream, and ``count`` rows with
parameters of their own. `augment(images, table.numbers)` is the bare function of tensors, to compile, to capture in a
CUDA graph, and to transform by ``torch.func``; neither it nor a draw asks the host for anything. (A gradient that
``torch.func`` takes inside a compiled function is found in the compiler's cache by later processes; one taken outside,
of a compiled `augment`, is compiled anew by each.) Where nothing is compiled, ``on_host`` lets the host read which
operations were drawn from words on a CPU; only those are then made and done::

    table = augmentation.draw(words, shape, on_host=True)
    for c in range(k):
        embed(table[c].apply(real_of(c)))  # one row for all images of a class

`DCAugmentation` is that of the DC paper's evaluation, `Crop` a canvas's; both are drawn from words likewise.
"""

from distillset.augment.canvas import Crop, assembled
from distillset.augment.dc import DC_AUGMENTATIONS, DCAugmentation, DCTable
from distillset.augment.formation import check_formation, packed, unpacked
from distillset.augment.operations import BOX, COLOR, GRID, NONE, OPERATIONS, Operation
from distillset.augment.strategy import Augmentation, default_strategy, packages
from distillset.augment.table import Table, augment

__all__ = [
    "BOX",
    "COLOR",
    "DC_AUGMENTATIONS",
    "GRID",
    "NONE",
    "OPERATIONS",
    "Augmentation",
    "Crop",
    "DCAugmentation",
    "DCTable",
    "Operation",
    "Table",
    "assembled",
    "augment",
    "check_formation",
    "default_strategy",
    "packages",
    "packed",
    "unpacked",
]
