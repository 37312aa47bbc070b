"""What only this repository needs is in tools/, and no part of the wheel."""

import subprocess
import tomllib
from pathlib import Path

import pytest

from tools import check_lengths
from tools.provenance import ROOT, commit

SOURCE = ROOT / "src" / "distillset"


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True)


def test_the_library_reads_no_git_and_makes_no_tables() -> None:
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert '"git"' not in text, path
        assert "rev-parse" not in text, path
        assert "<!--" not in text or path.name == "page.py", path
        assert "from tools" not in text, path


def test_the_commit_says_whether_the_source_differs(tmp_path: Path) -> None:
    assert commit(tmp_path) is None
    git(tmp_path, "init", "-q")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "a")
    clean = commit(tmp_path)
    assert clean is not None
    assert len(clean) == 40
    (tmp_path / "src" / "a.py").write_text("b = 1\n")
    assert commit(tmp_path) == f"{clean}-changed"


def test_no_file_is_too_long(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.py").write_text("x = 1\n" * 400)
    (tmp_path / "b.py").write_text("\n")
    (tmp_path / "c.py").write_text("\n")
    assert check_lengths.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == "3 Python files, median 1 lines, longest 400\n"
    (tmp_path / "a.py").write_text("x = 1\n" * 401)
    assert check_lengths.main([str(tmp_path)]) == 1
    assert capsys.readouterr().out == f"{tmp_path}/a.py: 401 lines; at most 400, split it by subject\n"
    assert check_lengths.main([str(ROOT / name) for name in ("src", "tests", "tools", "benchmarks", "examples")]) == 0


def test_every_dependency_stands_on_its_page_with_a_lowest_version_that_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    lowest = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8")
    for requirement in project["dependencies"]:
        name, least = requirement.split(">=")
        assert f"| {name} |" in page
        pinned = next(line.split("==")[1] for line in lowest.splitlines() if line.startswith(f"{name}=="))
        assert [int(part) for part in pinned.split(".")[:2]] == [int(part) for part in least.split(".")[:2]]
