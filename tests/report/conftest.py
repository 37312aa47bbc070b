"""A run as a user would have it, small, and the browser that looks at its page."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distillset import DM, SyntheticSet, distill
from distillset.distillation.record import Record
from tests import toys
from tests.report.browser import Browser, browser, program

HOSTILE = '</script><script>window.broken = 1</script><img src=x onerror="window.broken = 2">'
"""A class name that is markup, to a page that is careless."""


def row(artifact: str, mean: float, network: str = "convnet", **more: Any) -> dict[str, Any]:
    return {"artifact": artifact, "network": network, "protocol": "dm", "mean": mean, "std": 0.01, "n": 5, **more}


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four steps with a snapshot each and two accuracies, of classes one of which is called `HOSTILE`."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    data = toys.toy_data()
    spec = dataclasses.replace(data.train.spec, class_names=("cat", HOSTILE, 'dog & "co" \'n'))
    real = type(data.train)(data.train.images, data.train.labels, spec)
    measured = iter((0.25, 0.5))

    def accuracy(synthetic: SyntheticSet) -> float:
        return next(measured)

    record = Record(4, accuracy, evaluate_every=2)
    method = DM(batch_real=6, lr=50.0)
    distill(real, method, 2, steps=4, network=toys.NETWORK, out=folder, record=record, machine=toys.EAGER)
    of = {"fingerprint": SyntheticSet.load(folder).fingerprint()}
    rows = [row(str(folder), 0.6, **of), row("random", 0.4, **of), row("whole", 0.9, **of),
            row(str(folder), 0.55, "mlp", **of)]  # fmt: skip
    (folder / "accuracy.json").write_text(json.dumps(rows))
    return folder


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of other settings, with one image per class and fewer snapshots."""
    folder = tmp_path_factory.mktemp("others") / "second"
    record, method = Record(snapshots=1), DM(batch_real=4)
    distill(toys.toy(), method, 1, steps=2, network=toys.NETWORK, out=folder, record=record, machine=toys.EAGER)
    return folder


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if program() is None:
        pytest.skip("no Chromium here (Debian: apt install chromium)")
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found
