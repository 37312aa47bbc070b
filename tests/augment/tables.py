"""Tables of augmentation, and what the oracle makes of them."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from distillset.augment import Table
from distillset.keys import Key, fold
from tests.augment.parameters import parameters
from tests.oracles import augment_oracle as oracle

SHAPES = [(1, 8, 8), (3, 9, 14), (4, 7, 5), (3, 16, 16), (1, 6, 1), (3, 1, 5), (1, 1, 1)]
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.02}
WAYS = pytest.mark.parametrize("on_host", [False, True], ids=["table", "on_host"])


def words_of(count: int, seed: int = 0) -> Tensor:
    return fold(Key(seed)("augment").words(), torch.arange(count))


def images_of(n: int, shape: tuple[int, int, int], seed: int = 0) -> Tensor:
    """Normal float64 images, away from zero mean so that a zero filled in is seen."""
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.7


def expected(table: Table, images: Tensor) -> Tensor:
    """The oracle's answer, image by image."""
    names = [table.strategy[number] for number in table.operations.tolist()]
    rows = [parameters(name, row, table.shape) for name, row in zip(names, table.numbers, strict=True)]
    if len(table) == 1:
        names, rows = names * len(images), rows * len(images)
    results = []
    for image, name, row in zip(images.double().numpy(), names, rows, strict=True):
        match name:
            case "color":
                results.append(oracle.color(image, row[0] + 0.5, row[1] / 2, row[2] - 0.5))
            case "crop":
                results.append(oracle.crop(image, int(row[0]), int(row[1])))
            case "cutout":
                results.append(oracle.cutout(image, int(row[0]), int(row[1])))
            case "flip":
                results.append(oracle.flip(image, row[0] == 1))
            case "scale":
                results.append(oracle.scale(image, row[0], row[1]))
            case "rotate":
                results.append(oracle.rotate(image, row[0]))
    return torch.from_numpy(np.stack(results))


def one(operation: str, *values: float, shape: tuple[int, int, int], on_host: bool) -> Table:
    """A row with parameters of one's own."""
    table = Table.of(operation, values, shape)
    return table if on_host else dataclasses.replace(table, kinds=None)
