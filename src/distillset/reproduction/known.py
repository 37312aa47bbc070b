"""The presets of the library, and those that methods and selectors of other packages bring."""

from distillset.coresets import SELECTORS
from distillset.methods import METHODS
from distillset.presets import PRESETS, Preset


def known_presets() -> dict[str, Preset]:
    """Row such as ``dm-cifar10-10`` to its preset."""
    brought = [preset for method in METHODS.loaded().values() for preset in method.presets]
    brought += [preset for selector in SELECTORS.loaded().values() for preset in selector.presets]
    return {**PRESETS, **{preset.name: preset for preset in brought}}
