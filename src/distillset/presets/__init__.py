"""Published settings as data: what was run, what accuracy was reported, and where; beside them what this library
recommends where it measured at least as much for less, and its own preset of improvements.

>>> preset = PRESETS["dm-cifar10-10"]
>>> preset.steps, preset.published
(20000, Accuracy(mean=48.9, std=0.6, source='NCFM (CVPR 2025), table 1'))
"""

from distillset.presets.improved import candidates, improvements, variants
from distillset.presets.papers import PAPERS, Paper
from distillset.presets.preset import Accuracy, Ours, Preset
from distillset.presets.table import PRESETS

__all__ = ["PAPERS", "PRESETS", "Accuracy", "Ours", "Paper", "Preset", "candidates", "improvements", "variants"]
