"""Every example runs, small, and does what it says."""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Calls ``main`` of an example, in a folder and with a cache of its own, with arguments as of the command line."""

    def call(name: str, *arguments: str) -> Any:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        return runpy.run_path(str(EXAMPLES / name))["main"]()

    return call


def test_train_on_it(run: Run, tmp_path: Path) -> None:
    """A hundred images: far above the 10% of guessing."""
    assert run("train_on_it.py", "--steps", "2", "--epochs", "30") > 0.6
    assert (tmp_path / "runs" / "train-on-it" / "card.json").is_file()


def test_your_own_folder(run: Run, tmp_path: Path) -> None:
    rows = run("your_own_folder.py", "--steps", "3", "--epochs", "10", "--ipc", "2")
    assert [(row.artifact, row.n) for row in rows] == [("runs/your-own-folder", 2), ("random", 2)]
    assert "<!doctype html>" in (tmp_path / "runs" / "your-own-folder" / "report.html").read_text(encoding="utf-8")


def test_add_a_method(run: Run) -> None:
    assert all(accuracy > 0.3 for accuracy in run("add_a_method.py", "--steps", "2", "--epochs", "8"))


def test_the_method_is_no_longer_than_it_says() -> None:
    """Its class, without comments, docstrings and blank lines."""
    text = (EXAMPLES / "add_a_method.py").read_text()
    code = text[text.index("class Features") : text.index("def main")]
    lines = [line for line in code.splitlines() if line.strip() and not line.strip().startswith(('"""', "#"))]
    assert len(lines) <= 40


def test_continual_learning(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Two classes first, all ten at last; two are easily told apart, where luck is half."""
    curves = run("continual_learning.py", "--steps", "2", "--epochs", "40", "--orders", "1")
    for points in curves.values():
        assert [point.classes for point in points] == [2, 4, 6, 8, 10]
        assert points[0].mean > 0.6
    assert len(capsys.readouterr().out.splitlines()) == 6


def test_hyperparameter_search(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """0.001 without momentum learns next to nothing in 60 updates; any of the others is better."""
    assert run("hyperparameter_search.py", "--steps", "2", "--updates", "60", "--check") != (0.001, 0.0)
    assert "rank correlation " in capsys.readouterr().out


def test_all_are_listed() -> None:
    table = (EXAMPLES / "README.md").read_text()
    assert {f"`{path.name}`" in table for path in EXAMPLES.glob("*.py")} == {True}
