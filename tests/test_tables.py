"""Tables that other packages extend: what a package adds, and that its faults cost its own row only."""

import sys
import warnings
from pathlib import Path

import pytest

from distillset.errors import InputError
from distillset.tables import PluginTable, PluginWarning, instance_of, subclass_of
from tests.plugins import install

GROUP = "distillset.colours"


def colours() -> PluginTable[int]:
    return PluginTable("colour", GROUP, {"dark-red": 1, "blue": 2}, instance_of(int))


def test_without_packages_it_is_the_dictionary() -> None:
    table = colours()
    assert dict(table) == {"dark-red": 1, "blue": 2}
    assert len(table) == 2
    assert "blue" in table
    assert table.get("green") is None
    assert table.package("blue") is None
    with pytest.raises(KeyError):
        table["green"]


@pytest.mark.parametrize("name", ["dark-red", "dark_red", "Dark_Red", "DARK-RED"])
def test_any_spelling(name: str) -> None:
    assert colours().resolve(name) == "dark-red"


@pytest.mark.parametrize("name", ["blu", "", 3, None])
def test_unknown_names(name: object) -> None:
    with pytest.raises(InputError, match="choose one of dark-red, blue") as caught:
        colours().resolve(name)
    assert ("did you mean blue" in str(caught.value)) == (name == "blu")


def test_a_package_adds_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = colours()
    install(
        monkeypatch, tmp_path, {GROUP: {"green": "stranger:GREEN", "ochre": "stranger:AMBER"}}, "GREEN, AMBER = 3, 4"
    )
    assert list(table) == ["dark-red", "blue", "green", "ochre"], "ours first, then by name"
    assert len(table) == 4
    assert "green" in table
    assert table.resolve("GREEN") == "green"
    assert "stranger" not in sys.modules, "names need no import"
    assert dict(table) == {"dark-red": 1, "blue": 2, "green": 3, "ochre": 4}
    assert table.loaded() == dict(table)
    assert table.package("green") == "stranger 1.0"


def test_a_package_that_goes_takes_its_row_along(tmp_path: Path) -> None:
    table = colours()
    with pytest.MonkeyPatch.context() as patch:
        install(patch, tmp_path, {GROUP: {"green": "stranger:GREEN"}}, "GREEN = 3")
        assert table["green"] == 3
    assert list(table) == ["dark-red", "blue"]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("OTHER = 1", "AttributeError: module 'stranger' has no attribute 'GREEN'"),
        ("GREEN = 'x'", "is 'x'; needed is an object of int"),
    ],
)
def test_a_broken_row_costs_itself_alone(code: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = colours()
    install(monkeypatch, tmp_path, {GROUP: {"green": "stranger:GREEN"}}, code)
    assert list(table) == ["dark-red", "blue", "green"]
    assert table["blue"] == 2
    with pytest.raises(InputError) as caught:
        table["green"]
    line = str(caught.value)
    assert line.startswith("colour 'green' of package stranger 1.0 (entry point green = stranger:GREEN)")
    assert line.endswith(why)
    assert "\n" not in line
    with pytest.warns(PluginWarning) as said:
        assert table.loaded() == {"dark-red": 1, "blue": 2}
    assert [str(one.message) for one in said] == [line]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert table.loaded() == {"dark-red": 1, "blue": 2}, "said once"


def test_a_name_of_ours_stays_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = colours()
    install(monkeypatch, tmp_path, {GROUP: {"Dark_Red": "stranger:RED", "green": "stranger:GREEN"}}, "RED = GREEN = 3")
    with pytest.warns(PluginWarning, match=r"'Dark_Red' of package stranger 1.0 .* is left out: distillset has one"):
        assert table["green"] == 3
    assert dict(table) == {"dark-red": 1, "blue": 2, "green": 3}


def test_a_name_of_two_packages_is_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = colours()
    for package in ("first", "second"):
        folder = tmp_path / package
        folder.mkdir()
        install(monkeypatch, folder, {GROUP: {"green": f"{package}:GREEN"}}, "GREEN = 3", package)
    assert list(table) == ["dark-red", "blue", "green"]
    with pytest.raises(InputError, match=r"several packages have one: .*first 1.0.*second 1.0.*; uninstall all but"):
        table["green"]


def test_metadata_that_cannot_be_read_hide_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "malformed-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Name: malformed\n")
    (folder / "entry_points.txt").write_text(f"[{GROUP}]\nno equals sign\n")
    install(monkeypatch, tmp_path, {GROUP: {"green": "stranger:GREEN"}}, "GREEN = 3")
    assert colours()["green"] == 3


def test_classes() -> None:
    check = subclass_of(Exception)
    assert check("x", InputError) is None
    assert check("x", int) == check("x", 3) == "needed is a class derived from Exception"
