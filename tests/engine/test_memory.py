"""Memory: budgets, and what is done where the device runs out of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distillset import MTT
from distillset.commands import main
from distillset.data.real import RealSet
from distillset.engine import Compute, Engine, Work, measure
from distillset.errors import InputError
from distillset.machine import Machine, bytes_of
from distillset.methods import DC, DM, Method
from distillset.nets import build
from tests import toys
from tests.runs import Recorder, distil

SPEC = toys.spec_of(3, 8, 8, classes=3)
METHODS: dict[str, Method] = {
    "dm": DM(batch_real=6),
    "dc": DC(batch_real=6, outer=2, inner=2),
    "dc all": DC(batch_real=6, outer=1, inner=1, match="all"),
    "mtt": MTT(syn_steps=2, expert_count=1, expert_epochs=1, max_start=1, expert_batch=8, lr=10.0, limit=1e9),
}


@pytest.mark.parametrize(
    ("told", "size"),
    [("auto", None), ("1", 1), ("500M", 500 * 2**20), ("2G", 2 * 2**30), ("1.5 gib", 3 * 2**29), ("3kB", 3072)],
)
def test_sizes(told: str, size: int | None) -> None:
    assert bytes_of(told) == size


@pytest.mark.parametrize("told", ["", "0", "0G", "-1G", "2Q", "G", "much", "1e9", "1,5G", "²G", "9" * 400, "nan"])
def test_what_is_no_size_is_named(told: str) -> None:
    with pytest.raises(InputError, match=r"memory=.*: choose auto, or a size above 0 such as 500M or 2G"):
        bytes_of(told)


def test_what_an_image_takes_by_hand() -> None:
    """Convolution, norm and activation put out 8 x 8 x 8 numbers each, the pooling a quarter, the classifier 3."""
    work = measure(build(toys.NETWORK, SPEC), SPEC.shape, 1)
    assert work.held == 3 * 512 + 128 + 3


@pytest.mark.parametrize(
    ("device", "memory", "second", "micro_batch"),
    [
        ("cpu", "auto", False, 32_768),
        ("cpu", "100k", False, 10),  # 100 * 1024 / (10 * 1000)
        ("cpu", "100k", True, 3),  # ... / (32 * 1000)
        ("cpu", "100G", False, 32_768),  # what the cache holds is faster
        ("cuda", "1G", False, 107_374),
    ],
)
def test_a_budget_sizes_the_micro_batch(
    monkeypatch: pytest.MonkeyPatch, device: str, memory: str, second: bool, micro_batch: int
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    work = Work(activations=128, held=1000, second=second)
    assert Compute.resolve(Machine(device, "fp32", "off", memory), work).micro_batch == micro_batch


def test_a_budget_too_small_for_an_image_says_what_it_takes() -> None:
    with pytest.raises(InputError, match=r"memory='1M': a single image of this network takes about 20M; smaller"):
        Compute.resolve(Machine("cpu", "fp32", "off", "1M"), Work(held=2 * 2**20))


def test_the_command_line_takes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", str(toys.toy_file(tmp_path / "toy.npz"))]
    for words in (["distill", "dm", "--ipc", "1"], ["select", "herding", "--ipc", "1"], ["experts"]):
        assert main([*words, *data, "--out", str(tmp_path / "out"), "--memory", "2Q"]) == 2
        assert capsys.readouterr().err.splitlines()[-1].startswith("distillset: error: --memory 2Q: choose auto, or")


# --- out of memory ---------------------------------------------------------------------------------------------------


class Thirsty(nn.Module):
    """A ConvNet that runs out of memory with more than ``most`` images."""

    most = 10**9
    seen = 0

    def __init__(self) -> None:
        super().__init__()
        self.inner = build(toys.NETWORK, SPEC)

    def _check(self, images: Tensor) -> None:
        Thirsty.seen = max(Thirsty.seen, len(images))
        if len(images) > self.most:
            raise torch.OutOfMemoryError("simulated")

    def embed(self, images: Tensor) -> Tensor:
        self._check(images)
        found: Tensor = self.inner.embed(images)  # type: ignore[operator]
        return found

    def forward(self, images: Tensor) -> Tensor:
        self._check(images)
        found: Tensor = self.inner(images)
        return found


def run(method: Method, memory: str = "auto", **changes: Any) -> Tensor:
    arguments = {"ipc": 5, "steps": 2, "init": "real", **changes}
    return distil(method=method, network=Thirsty(), machine=replace(toys.EAGER, memory=memory), **arguments).images


def thirst(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """From the first call of the engine on: what looks at a network beforehand has its own needs."""
    plain: Callable[..., None] = Engine.__init__

    def init(self: Engine, *arguments: Any, **named: Any) -> None:
        plain(self, *arguments, **named)
        monkeypatch.setattr(Thirsty, "most", most)
        monkeypatch.setattr(Thirsty, "seen", 0)

    monkeypatch.setattr(Engine, "__init__", init)


@pytest.mark.parametrize("name", METHODS)
def test_out_of_memory_is_tried_again_with_fewer_images(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = run(METHODS[name])
    thirst(monkeypatch, 3)
    first, resumed, out = Recorder(), Recorder(), tmp_path / "run"
    run(METHODS[name], steps=1, watcher=first, out=out)
    told = [note for note in first.notes if note.startswith("out of memory: micro-batches of ")]
    assert told
    assert 1 <= int(told[-1].split()[5]) <= 3
    torch.testing.assert_close(run(METHODS[name], watcher=resumed, out=out), expected, rtol=1e-4, atol=1e-4)
    assert not resumed.told("out of memory"), "the micro-batch that fits is kept with the run"


def test_a_single_image_too_much_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    thirst(monkeypatch, 0)
    with pytest.raises(InputError, match="device='cpu': out of memory with a single image at a time"):
        run(METHODS["dm"])


@pytest.mark.parametrize("name", METHODS)
def test_no_call_sees_more_images_than_the_budget_allows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With more synthetic images per class than that, too."""
    expected = run(METHODS[name])
    thirst(monkeypatch, 10**9)
    each = (10 if name == "dm" else 32) * (3 * 512 + 128 + 3)
    assert torch.allclose(run(METHODS[name], memory=str(3 * each)), expected, rtol=1e-4, atol=1e-4)
    assert Thirsty.seen == 3


def test_real_images_are_drawn_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class whose real images are too many to be floats at once gives the same update."""
    most = 0
    rows = RealSet.rows

    def counted(self: RealSet, chosen: Tensor, device: torch.device | str = "cpu") -> Tensor:
        nonlocal most
        most = max(most, len(chosen))
        return rows(self, chosen, device)

    monkeypatch.setattr(RealSet, "rows", counted)
    memory = str(2 * 32 * (3 * 512 + 128 + 3))
    for name in ("dm", "dc"):
        monkeypatch.setattr("distillset.engine.engine.PORTION", 2**24)
        expected, most = run(METHODS[name], memory, init="noise"), 0
        monkeypatch.setattr("distillset.engine.engine.PORTION", 4 * 192)
        found = run(METHODS[name], memory, init="noise")
        assert most == (6 if name == "dm" else 4)  # dm: a micro-batch of six, whose floats are no more than these
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
