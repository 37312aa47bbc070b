"""The plot: it shows the rows, and is refused early where it cannot be drawn."""

import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from distillset.errors import InputError
from distillset.studies.plot import check_plot, curves, plot_rows, scatter
from tests.studies.test_compare import row
from tests.watchers import Notes

ROWS = [
    row("runs/dm", (0.48, 0.49, 0.50)),
    row("random", (0.30, 0.34)),
    row("runs/dm", (0.4, 0.41), "MLP"),
    row("random", (0.2, 0.25), "MLP"),
]


def test_every_row_is_in_it(tmp_path: Path) -> None:
    plot_rows(ROWS, tmp_path / "rows.svg")
    drawn = (tmp_path / "rows.svg").read_text()
    for name in ("runs/dm", "random", "convnet", "MLP", "test accuracy %"):
        assert f"<!-- {name} -->" in drawn
    # A dot an accuracy, and a circle a row: markers are drawn by reference.
    assert len(re.findall(r"<use [^>]*style=\"fill: #a6a6a6", drawn)) == 9
    assert len(list(tmp_path.iterdir())) == 1


def test_as_picture(tmp_path: Path) -> None:
    plot_rows(ROWS[:2], tmp_path / "new" / "rows.png")
    with Image.open(tmp_path / "new" / "rows.png") as picture:
        assert min(picture.size) > 100
        colours = picture.convert("L").getcolors(1 << 20)
    assert colours is not None
    assert len(colours) > 10, "not a blank page"


def test_other_kinds_and_a_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"plot='rows.doc': choose a file that ends in .png, .svg, .pdf"):
        check_plot(Path("rows.doc"))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match=r"pip install 'distillset\[plots\]'"):
        check_plot(Path("rows.png"))


def test_studies_are_drawn_where_they_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    curves(tmp_path / "curves.png", {"dm": [(2, 90.0, 1.0), (4, 80.0, 2.0)]}, "title", "x", "y", Notes(notes))
    scatter(tmp_path / "scatter.png", {"dm": [(1.0, 2.0)], "random": [(3.0, 4.0)]}, "x", "y", Notes(notes))
    sizes = []
    for name in ("curves", "scatter"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            sizes.append(picture.size)
    assert sizes[1][0] > 1.5 * sizes[1][1], "two panels beside each other"
    assert notes == []
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    curves(tmp_path / "no.png", {}, "title", "x", "y", Notes(notes))
    assert notes == ["no picture: matplotlib is not installed; pip install 'distillset[plots]' brings it"]
    assert not (tmp_path / "no.png").exists()
