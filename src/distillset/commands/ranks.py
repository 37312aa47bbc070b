"""Which process of a run talks to the user."""

import os


def speaks() -> bool:
    """Whether this process talks to the user: of the ranks of `torchrun`, the first does."""
    return os.environ.get("RANK", "0") == "0"


def part() -> None:
    """At the end of a command that went well: no rank leaves before the others have done."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from distillset.mesh import leave

        leave()
