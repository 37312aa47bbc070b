"""Packages of someone else, as they lie beside this library when they are installed: for tests of entry points."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest


def install(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    points: dict[str, dict[str, str]],
    code: str = "",
    package: str = "stranger",
) -> None:
    """Put a package of one module on `sys.path` until the test ends.

    Args:
        monkeypatch: takes it away again.
        folder: an empty one for it.
        points: group of entry points to name and object, such as ``{"distillset.selectors": {"far": "stranger:FAR"}}``.
        code: of the module, which is called as the package is.
        package: its name.
    """
    (folder / f"{package}.py").write_text(code)
    metadata = folder / f"{package}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    sections = [
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in rows.items())])
        for group, rows in points.items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(sections) + "\n")
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    # Whatever is imported under this name in between goes when the test ends: another test has a module of the name.
    monkeypatch.setitem(sys.modules, package, ModuleType(package))
    monkeypatch.delitem(sys.modules, package)
