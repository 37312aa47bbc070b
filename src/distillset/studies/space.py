"""The search space of the DC paper (ICLR 2021, section 4.3): 720 ConvNets."""

from dataclasses import asdict
from itertools import product

from distillset.data.spec import Spec
from distillset.errors import InputError
from distillset.keys import Key, permutation
from distillset.nets.convnet import FAMILY, ConvNetConfig

DEPTHS = (1, 2, 3, 4)
WIDTHS = (32, 64, 128, 256)
ACTIVATIONS = ("sigmoid", "relu", "leakyrelu")
NORMS = ("none", "batch", "layer", "instance", "group")
POOLINGS = ("none", "max", "avg")


def space(spec: Spec) -> dict[str, ConvNetConfig]:
    """Canonical name to fields of the networks that fit the images: all 720 from 16 pixels a side on.

    On smaller images those that would pool to nothing are left out.
    """
    networks = {}
    for depth, width, activation, norm, pooling in product(DEPTHS, WIDTHS, ACTIVATIONS, NORMS, POOLINGS):
        config = ConvNetConfig(width, depth, activation, norm, pooling)
        if pooling == "none" or min(spec.height, spec.width) >> depth:
            networks[FAMILY.canonical(asdict(config))] = config
    return networks


def draw_networks(names: list[str], count: int, seed: int) -> list[str]:
    """``count`` of ``names``, drawn without replacement; a larger sample of the same seed contains a smaller one.

    Raises:
        InputError: there are not so many, or fewer than 4 are asked for.
    """
    if not 4 <= count <= len(names):
        raise InputError("networks", count, f"must be from 4 to {len(names)}, the networks that fit these images")
    order = permutation(Key(seed)("space").words(), len(names), len(names))
    return [names[i] for i in order[:count].tolist()]
