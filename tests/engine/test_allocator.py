"""Freed memory stays with the process, so that the next step need not have its pages blanked again."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, torch
from distillset.engine.allocator import keep_memory
told = keep_memory()
for _ in range(3):
    [torch.ones(2**22) for _ in range(4)]  # 16 MB each
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    [torch.ones(2**22) for _ in range(4)]
print(int(told), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(**environment: str) -> tuple[bool, int]:
    """Whether memory is kept in a fresh process, and its page faults in 8 times 64 MB of tensors."""
    environment = {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environment)
    told, count = done.stdout.split()
    return told == "1", int(count)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc")
def test_tensors_take_the_pages_of_those_before() -> None:
    """512 MB are 131,072 pages of 4 KB; with large pages fewer are counted, so that only the ratio is asserted."""
    kept, few = faults()
    left, many = faults(MALLOC_TRIM_THRESHOLD_="131072")
    assert (kept, left) == (True, False), "the user's own settings are heeded"
    assert few * 10 < many
