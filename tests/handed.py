"""Data as programs hand them over, small."""

from typing import Any

import numpy as np

import distillset as ds
from tests import toys

LABELS = np.arange(40) % 2
IMAGES = np.random.default_rng(0).integers(0, 255, (40, 8, 8, 3)).astype(np.uint8)
NAMES = np.array(["cat", "dog"])
QUIET: dict[str, Any] = {"watcher": ds.Watcher()}
SHORT: dict[str, Any] = {
    "repeats": 1,
    "protocol": ds.Protocol(epochs=1),
    "networks": toys.NETWORK,
    "beside": (),
    "machine": toys.EAGER,
}
DATA = ds.load((IMAGES, LABELS), **QUIET)
FEW = ds.DM(batch_real=4)
CHOSEN = ds.select(DATA, "random", 1)
