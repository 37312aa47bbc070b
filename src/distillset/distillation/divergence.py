"""What is said of a run that ended because a loss or a gradient was not finite."""

import math
from collections.abc import Sequence

LAST_STATE = "the last good state is kept"
SMALLER = "try a smaller `lr`"
ADVICE = f"{LAST_STATE}; {SMALLER}"


def not_finite(loss: float, names: Sequence[str], first: bool) -> str:
    """What was not finite, and what to do.

    Args:
        loss: of the update that ended the run.
        names: the learned tensors whose gradient was not finite; empty where they are not known.
        first: whether the update was the first one: then no learning rate is to blame.
    """
    if math.isfinite(loss):
        gradient = f"the gradient of {' and '.join(names)}" if names else "a gradient"
        what = f"{gradient} is not finite, though the loss is ({loss:g})"
        cause = "a square root, a norm or a division, whose derivative at 0 is not finite"
    else:
        what = f"the loss is {loss:g}"
        cause = "a division by 0, or the logarithm of 0"
    if first:
        return f"{what}; nothing had moved yet, so look in the loss and the network for {cause}"
    advice = f", or look in the loss for {cause}" if math.isfinite(loss) else ""
    return f"{what}; {ADVICE}{advice}"
