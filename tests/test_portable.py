"""Nothing that only POSIX systems have is needed to import the library."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import distillset

SOURCE = Path(distillset.__file__).parent
POSIX = {"crypt", "fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
"""Modules of Python that Windows does not have."""

IMPORT_ALL = f"""
import pkgutil, sys
import torch, datasets, sklearn.cluster, scipy.stats, matplotlib, filelock
for name in {sorted(POSIX)}:
    sys.modules[name] = None
import distillset
for module in pkgutil.walk_packages(distillset.__path__, "distillset."):
    if module.name != "distillset.__main__":
        __import__(module.name)
from distillset.engine.hardware import memory, peak
from distillset.sources.places import check_named_by_card
print(peak(torch.device("cpu")) >= 0, memory(torch.device("cpu")) >= 0, check_named_by_card("digits", "source"))
"""


def test_all_of_it_is_imported_without_the_modules_of_posix() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True True digits\n"


def test_none_of_them_is_imported_by_a_module_that_is_imported() -> None:
    for path in SOURCE.rglob("*.py"):
        for name in _imported(ast.parse(path.read_text(encoding="utf-8"))):
            assert name.split(".")[0] not in POSIX, path


def _imported(tree: ast.Module) -> Iterator[str]:
    """What a module imports before any function is called."""
    for statement in tree.body:
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            yield statement.module or ""


def test_locks_are_the_work_of_filelock() -> None:
    for path in SOURCE.rglob("*.py"):
        assert "fcntl" not in path.read_text(encoding="utf-8"), path
