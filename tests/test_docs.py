"""Every command and every Python block of the README and of `docs/` runs, in the order of its page, on a small budget.

A page is a folder of its own, as a reader would have it. Commands run with two steps, two networks of one epoch; known
names lead to little stand-ins on the disk. What a page shows is that it runs; what it computes has its own tests.
"""

import re
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import distillset as ds
from distillset.commands import main, parser
from distillset.commands.doctor import TABLES
from distillset.export import export
from tests import toys

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
EAGER = ["--device", "cpu", "--precision", "fp32", "--compile", "off"]
SMALL = {
    "distill": ["--steps", "2", "--quiet", *EAGER],
    "distill mtt": ["--syn-steps", "3"],
    "experts": ["--count", "1", "--epochs", "4", "--quiet", *EAGER],
    **{f"distill {method}": ["--batch-real", "4"] for method in ("dm", "dc", "dsa")},
    "select": ["--epochs", "0", *EAGER],
    "compare": ["--repeats", "2", "--epochs", "0", *EAGER],
    "evaluate": ["--repeats", "1", "--epochs", "0", *EAGER],
    "continual": ["--distill-steps", "1", "--epochs", "0", "--repeats", "1", "--seeds", "0", "--quiet", *EAGER],
    "nas": ["--distill-steps", "1", "--epochs", "0", "--proxy-epochs", "0", "--sample", "4", "--quiet", *EAGER],
    "export": ["--repeats", "1", "--epochs", "0", *EAGER],
    "reproduce": ["--list"],
}
"""Flags that are given once more; the last one counts."""

OTHERS = {"make", "pip", "python"}
"""Programs that pages name besides distillset."""


def blocks(page: Path) -> list[tuple[str, str]]:
    """(language, text) of every block."""
    return [(found[1], found[2]) for found in BLOCK.finditer(page.read_text(encoding="utf-8"))]


def commands(text: str) -> list[list[str]]:
    lines = text.replace("\\\n", " ").splitlines()
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images per class and split of what CIFAR-10 is shaped like."""
    folder = tmp_path_factory.mktemp("data")
    for part, seed in (("train", 0), ("test", 1)):
        real = toys.toy([2] * 10, (3, 32, 32), seed)
        export(ds.select(real, "random", 2), "imagefolder", folder / "cifar10" / part)
    return folder


@pytest.fixture
def reader(tmp_path: Path, stand_ins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DISTILLSET_DATA", str(stand_ins))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for least in ("WHOLE_UPDATES", "WHOLE_EPOCHS"):
        monkeypatch.setattr(f"distillset.evaluation.protocol.{least}", 1)

    def smaller(call: Callable[..., Any], **given: Any) -> Callable[..., Any]:
        return lambda *arguments, **named: call(*arguments, **{**named, **given})

    monkeypatch.setattr(ds, "distill", smaller(ds.distill, steps=2, machine=toys.EAGER))
    monkeypatch.setattr(ds, "select", smaller(ds.select, epochs=0, machine=toys.EAGER))
    monkeypatch.setattr(
        ds, "evaluate", smaller(ds.evaluate, repeats=1, protocol=ds.Protocol(epochs=0), machine=toys.EAGER)
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_runs(page: Path, reader: None) -> None:
    names: dict[str, Any] = {"__name__": "page"}
    for language, text in blocks(page):
        assert language in ("sh", "python", "text", "toml"), f"{page.name}: a block of {language or 'none'}:\n{text}"
        if language == "python":
            exec(compile(text, str(page), "exec"), names)  # noqa: S102 (the page's own block)
        elif language == "sh":
            for words in commands(text):
                run(words)
        elif language == "toml":
            groups = tomllib.loads(text)["project"]["entry-points"]
            assert groups.keys() <= {table.group for table in TABLES}


def run(words: list[str]) -> None:
    if words[0] != "distillset":
        assert words[0] in OTHERS, words
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:.*##", (ROOT / "Makefile").read_text(), re.MULTILINE), words
        if words[0] == "python":  # run by the examples' tests
            assert (ROOT / words[1]).is_file(), words
        return
    parser().parse_args(words[1:])
    words = [*words, *SMALL.get(words[1], []), *SMALL.get(" ".join(words[1:3]), [])]
    assert main(words[1:]) == 0, words


def test_the_pages_have_what_is_run() -> None:
    """The pattern finds blocks at all: as many as there are pairs of fences."""
    for page in PAGES:
        fences = len(re.findall(r"^```", page.read_text(encoding="utf-8"), re.MULTILINE))
        assert 2 * len(blocks(page)) == fences, page
    assert sum(len(blocks(page)) for page in PAGES) > 20


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_every_page_is_in_the_site() -> None:
    listed = set(re.findall(r": ([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert listed == {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}


def test_every_dependency_has_its_reason() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    told = (ROOT / "docs" / "dependencies.md").read_text()
    for requirement in project["dependencies"]:
        name = re.match(r"[\w-]+", requirement)
        assert name is not None
        assert f"| {name[0]} |" in told, requirement
    for extra in project["optional-dependencies"]:
        assert f"| `{extra}` |" in told, extra
