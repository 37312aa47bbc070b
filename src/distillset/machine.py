"""The machine to compute on, as requested: device, precision, compilation and memory in one value."""

import math
import re
from dataclasses import dataclass
from typing import Any

from distillset.arguments import text
from distillset.errors import InputError

PRECISIONS = ("auto", "fp32", "bf16")
COMPILE = ("auto", "on", "off")
UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


@dataclass(frozen=True)
class Machine:
    """What to compute on. Every field is ``auto`` unless you say otherwise, and functions that take a machine take the
    name of a device as well: ``machine="cuda"`` is ``machine=Machine("cuda")``.

    >>> Machine("cpu", precision="fp32").compile
    'auto'

    What ``auto`` is resolved to depends on the hardware and on the work; it is noted, and stored with every result.

    Args:
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``auto`` (bf16 where the hardware has it), ``fp32``, or ``bf16`` for convolutions and matrix
            products; statistics, losses and sums stay fp32.
        compile: ``auto`` (if the run is long enough to gain from it), ``on`` or ``off``.
        memory: the most that one call of a network may take, such as ``500M`` or ``2G`` (binary units); batches are
            split to fit. ``auto`` is what is fast.

    Raises:
        InputError: a field is none of these. Whether the device is there is seen when something is computed.
    """

    device: str = "auto"
    precision: str = "auto"
    compile: str = "auto"
    memory: str = "auto"

    def __post_init__(self) -> None:
        for field in ("device", "precision", "compile", "memory"):
            text(field, getattr(self, field))
        if self.device not in ("auto", "cpu") and not re.fullmatch(r"cuda(:[0-9]{1,4})?", self.device):
            raise InputError("device", self.device, "choose auto, cpu, cuda or cuda:N")
        if self.precision not in PRECISIONS:
            raise InputError("precision", self.precision, "choose auto, fp32 or bf16")
        if self.compile not in COMPILE:
            raise InputError("compile", self.compile, "choose auto, on or off")
        bytes_of(self.memory)

    @classmethod
    def of(cls, machine: Any) -> "Machine":
        """``machine`` as it is, or that of the device of this name.

        Raises:
            InputError: neither a machine nor a device's name.
        """
        if isinstance(machine, cls):
            return machine
        if isinstance(machine, str):
            return cls(machine)
        raise InputError("machine", machine, "must be a Machine, or the name of a device")


def bytes_of(memory: str) -> int | None:
    """The bytes of ``500M`` or ``2G``, binary units of any case; None for ``auto``.

    Raises:
        InputError: something else.
    """
    if memory == "auto":
        return None
    size = re.fullmatch(r"(\d+(?:\.\d*)?)\s*([kmgt]?)(?:i?b)?", memory.strip().lower(), re.ASCII)
    total = float(size[1]) * 1024 ** UNITS[size[2]] if size else 0.0
    if not 1 <= total < math.inf:
        raise InputError("memory", memory, "choose auto, or a size above 0 such as 500M or 2G")
    return int(total)
