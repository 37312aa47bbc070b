"""The published pools of networks, by the letter of the DC authors' evaluation mode: a set is tested on each of a pool.

Zhao et al. (ICLR 2021), Zhao and Bilen (ICML 2021, WACV 2023). B, the networks with batch norm, is DM's.
"""

from distillset.errors import InputError

POOLS: dict[str, tuple[str, ...]] = {
    "M": ("MLP", "ConvNet", "LeNet", "AlexNet", "VGG11", "ResNet18"),
    "B": ("ConvNetBN", "ConvNetASwishBN", "AlexNetBN", "VGG11BN", "ResNet18BN"),
    "W": ("ConvNetW32", "ConvNetW64", "ConvNetW128", "ConvNetW256"),
    "D": ("ConvNetD1", "ConvNetD2", "ConvNetD3", "ConvNetD4"),
    "A": ("ConvNetAS", "ConvNetAR", "ConvNetAL", "ConvNetASwish"),
    "P": ("ConvNetNP", "ConvNetMP", "ConvNetAP"),
    "N": ("ConvNetNN", "ConvNetBN", "ConvNetLN", "ConvNetIN", "ConvNetGN"),
}
"""Architectures (M), with batch norm (B), and the fields of ConvNet: width, depth, activation, pooling, norm."""


def pool(letter: str) -> tuple[str, ...]:
    """The names of a pool, any case; ``all`` is every name of every pool, once.

    Raises:
        InputError: there is no such pool.

    >>> pool("d")
    ('ConvNetD1', 'ConvNetD2', 'ConvNetD3', 'ConvNetD4')
    """
    if letter.lower() == "all":
        return tuple(dict.fromkeys(name for names in POOLS.values() for name in names))
    if letter.upper() not in POOLS:
        raise InputError.about(f"pool {letter!r}", f"not known; choose {', '.join(POOLS)} or all")
    return POOLS[letter.upper()]
