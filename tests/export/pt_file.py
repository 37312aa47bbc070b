"""Files as other code may have written them, hostile ones among them."""

from pathlib import Path
from typing import Any

import torch


def write(value: Any, path: Path) -> None:
    torch.save(value, path)
