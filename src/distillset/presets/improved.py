"""This library's own preset: improvements of later papers on top of a published setting, each a field of the method."""

from typing import Any

from distillset.presets.preset import Preset

LABELS = {1: 5.0}
"""Images per class to the learning rate of soft labels, where it is not 2: as DATM has it for CIFAR-10."""

PART = 5
"""Images are averaged over the last fifth of a run, in the first the range of starts grows."""


def candidates(preset: Preset, steps: int) -> dict[str, Any]:
    """Every field that a later paper adds to a method, as it suits a run of ``steps``; empty for methods without any.

    For MTT: the moving average of images of FTD (Du et al., CVPR 2023) and DATM (Guo et al., ICLR 2024), 0.999 in 5,000
    steps; DATM's growing range of starts, soft labels and first images that experts classify right, here all of three;
    FTD's radius of sharpness-aware experts.
    """
    if preset.method != "mtt":
        return {}
    return {
        "average": max(0.0, round(1 - PART / max(steps, 1), 6)),
        "grow": steps // PART,
        "lr_labels": LABELS.get(preset.ipc, 2.0),
        "correct": 3,
        "sam": 0.01,
    }


def improvements(preset: Preset, steps: int) -> dict[str, Any]:
    """The candidates that are on in a run of ``steps``: all, but soft labels only in runs as long as published.

    At 40 steps soft labels took 3.4 points (results/ablations); what DATM gains by them it measured in long runs.
    """
    fields = candidates(preset, steps)
    if steps < preset.steps:
        fields.pop("lr_labels", None)
    return fields


def variants(preset: Preset, steps: int) -> dict[str, dict[str, Any]]:
    """What an ablation runs: the published setting, each candidate alone on top of it, all together, and those that are
    on where they are not all.
    """
    fields, on = candidates(preset, steps), improvements(preset, steps)
    single = {name: {name: value} for name, value in fields.items()}
    return {"published": {}, **single, "all": fields, **({"improved": on} if on != fields else {})}
