"""What every row of METHODS must keep."""

from collections.abc import Callable
from typing import Any

import pytest

from distillset.methods import METHODS, Method
from distillset.testing.methods import CHECKS

QUICK: dict[str, dict[str, Any]] = {
    "dc": {"outer": 2, "inner": 2},
    "dsa": {"outer": 2, "inner": 2},
    "mtt": {"expert_count": 2, "max_start": 2, "syn_steps": 4},
}
"""Settings of methods that are slow as published."""


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", METHODS)
def test_methods(name: str, check: Callable[[Method], None]) -> None:
    kind: Any = METHODS[name]
    assert kind.name == name
    check(kind(**QUICK.get(name, {})))
