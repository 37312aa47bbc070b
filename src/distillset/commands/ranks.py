"""Which process of a run talks to the user."""

import os


def speaks() -> bool:
    """Whether this process talks to the user: of the ranks of `torchrun`, the first does."""
    return os.environ.get("RANK", "0") == "0"
