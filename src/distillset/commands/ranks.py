"""How the ranks of a run end."""

import os


def part() -> None:
    """At the end of a command that went well: no rank leaves before the others have done."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from distillset.mesh import leave

        leave()
