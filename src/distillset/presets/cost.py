"""What a row costs on any machine, in images forward through its network; a backward pass counts as two."""

from distillset.presets.preset import Preset

REAL = 256
EPOCHS = {"dc": 300}
"""Of an evaluation, where they are not 1,000, as they are on MNIST by any protocol."""
EXPERTS = 100
SIZES = {"mnist": 60_000, "fashion_mnist": 60_000, "svhn": 73_257, "tiny_imagenet": 100_000}
"""Training images, where they are not 50,000."""


def passes(preset: Preset, steps: int, networks: int) -> float:
    """Image passes of ``steps`` of a preset and of an evaluation on ``networks`` networks, roughly.

    That of DM is steps x classes x 256; of DC and DSA three times that for every update of a step, and the training
    between updates; of MTT that of its 100 experts and eleven passes for each image of a student's steps. The network
    that a selection sees with, trained once a data set, is not counted.
    """
    images = preset.ipc * preset.classes
    epochs = 1000 if preset.data == "mnist" else EPOCHS.get(preset.protocol, 1000)
    tested = 3.0 * images * (epochs + 1) * networks
    return _distilled(preset, steps, images) + tested


def _distilled(preset: Preset, steps: int, images: int) -> float:
    settings = preset.settings
    real = float(settings.get("batch_real", REAL)) * preset.classes
    if preset.method == "dm":
        return steps * (real + 3 * images)
    if preset.method in ("dc", "dsa"):
        outer, inner = settings.get("outer", 1), settings.get("inner", 1)
        return float(steps * (outer * (3 * real + 9 * images) + (outer - 1) * inner * 3 * images))
    if preset.method == "mtt":
        batch = settings["batch_syn"] or images
        experts = (
            3.0 * EXPERTS * SIZES.get(preset.data, 50_000) * (settings["max_start"] - 1 + settings["expert_epochs"])
        )
        return float(experts + 11.0 * steps * settings["syn_steps"] * batch)
    return 0.0
