"""What a report tells, from the folder alone."""

import html
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch

from distillset import InputError, SyntheticSet, select
from distillset.commands import main
from distillset.nets import canonical
from distillset.report import report
from distillset.report.gather import gather
from distillset.report.pictures import plan, strip
from tests import toys
from tests.report.conftest import HOSTILE, row


class Cells(HTMLParser):
    """The text of every row of every table, and everything the page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.links: list[str] = []
        self._in = False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._in = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in = False

    def handle_data(self, data: str) -> None:
        if self._in:
            self.rows[-1][-1] += data


def table(page: str) -> dict[str, list[str]]:
    """Rows of the tables by their first cell; of several the first."""
    cells = Cells()
    cells.feed(page)
    first: dict[str, list[str]] = {}
    for name, *values in ([cell.strip() for cell in line] for line in cells.rows):
        first.setdefault(name, values)
    return first


def test_the_run_in_plain_values(run: Path) -> None:
    (found,) = gather([run])
    assert [frame.step for frame in found.frames] == [0, 1, 2, 3, 4]
    assert found.accuracies == ((2, 0.25), (4, 0.5))
    logged = [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [loss for _, loss in found.losses] == logged
    assert [(one["artifact"], one["network"], one["mean"]) for one in found.rows] == [
        ("set", "convnet", 0.6), ("random", "convnet", 0.4), ("whole", "convnet", 0.9), ("set", "mlp", 0.55),
    ]  # fmt: skip


def test_numbers_and_settings_are_told(run: Path, tmp_path: Path) -> None:
    page = report([run], tmp_path / "page.html").read_text(encoding="utf-8")
    told = table(page)
    assert told["first"][1:] == ["60.0 ± 1.0", "5", "dm"]
    assert told["random real images"][1:] == ["40.0 ± 1.0", "5", "dm"]
    assert told["mlp"] == ["55.0 ± 1.0 (n 5)", "–", "–"]
    assert told["convnet"] == ["60.0 ± 1.0 (n 5)", "40.0 ± 1.0 (n 5)", "90.0 ± 1.0 (n 5)"]
    assert (told["lr"], told["batch real"], told["ipc"]) == (["50"], ["6"], ["2"])
    assert told["of the real images"] == ["24 (25%)"]
    assert told["size, as float32"] == ["4.61 kB"]  # 6 images of 3*8*8 numbers of 4 bytes
    card = json.loads((run / "card.json").read_text())
    assert told["artifact fingerprint"] == [card["fingerprint"]]
    assert told["data fingerprint"] == [card["data"]["fingerprint"]]


def test_settings_that_differ_are_marked(run: Path, other: Path, tmp_path: Path) -> None:
    told = table(report([run, other], tmp_path / "page.html").read_text(encoding="utf-8"))
    assert told["lr differs"] == ["50", "1"]
    assert told["network"] == [canonical(toys.NETWORK)] * 2


def test_names_are_escaped_wherever_they_stand(run: Path, tmp_path: Path) -> None:
    page = report([run], tmp_path / "page.html").read_text(encoding="utf-8")
    assert html.escape(HOSTILE) in page or html.escape(HOSTILE).replace("&quot;", "&#34;") in page
    assert "<img src=x" not in page
    assert page.count("</script>") == 2


def test_the_page_stands_alone(run: Path, tmp_path: Path) -> None:
    page = report([run], tmp_path / "page.html").read_text(encoding="utf-8")
    cells = Cells()
    cells.feed(page)
    assert {link.split(",")[0] for link in cells.links if not link.startswith("#")} == {
        "data:",
        "data:image/png;base64",
    }
    assert "url(" not in page
    assert "@import" not in page


def test_rows_from_a_file(other: Path, tmp_path: Path) -> None:
    of = {"fingerprint": SyntheticSet.load(other).fingerprint()}
    rows = [row("elsewhere/second", 0.7, **of), row("random", 0.3, **of)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    (found,) = gather([other], [tmp_path / "rows.json"])
    assert [(one["artifact"], one["mean"]) for one in found.rows] == [("set", 0.7), ("random", 0.3)]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([row("stranger", 0.7)], "a row of stranger, which is not"),
        ([{**row("second", 0.7), "mean": "high"}], "row 1: field mean is 'high'"),
        ({"rows": []}, "not a list of the rows"),
        ([3], "not a list of the rows"),
    ],
)
def test_rows_that_do_not_fit(other: Path, tmp_path: Path, rows: Any, told: str) -> None:
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    with pytest.raises(InputError, match=re.escape(told)):
        gather([other], [tmp_path / "rows.json"])


def test_a_damaged_snapshot_is_left_out_and_said(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "first"
    shutil.copytree(run, folder)
    (folder / "snapshots" / "step-2.safetensors").write_bytes(b"nothing")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "lo')
    (found,) = gather([folder])
    assert [frame.step for frame in found.frames] == [0, 1, 3, 4]
    assert len(found.losses) == 4
    (note,) = found.notes
    assert "step-2.safetensors: damaged" in note
    assert note.endswith("left out")


def test_a_coreset_has_a_page_as_well(tmp_path: Path) -> None:
    folder = select(toys.toy(), "random", 3).save(tmp_path / "core")
    page = report([folder], tmp_path / "page.html").read_text(encoding="utf-8")
    assert 'id="time"' not in page
    assert 'id="curves"' not in page
    assert "Not evaluated yet" in page
    assert ">no steps</span>" in page


def test_astrip_is_filled_row_by_row() -> None:
    """Five images of one pixel, three to a row: the last place stays 0."""
    pixels = torch.tensor([10, 20, 30, 40, 50], dtype=torch.uint8).view(5, 1, 1, 1)
    assert strip(pixels, 3).tolist() == [[[10, 20, 30], [40, 50, 0]]]


def test_channels_that_no_picture_has_are_averaged() -> None:
    pixels = torch.tensor([10, 31], dtype=torch.uint8).view(1, 2, 1, 1)
    assert strip(pixels, 1).tolist() == [[[20]]]  # 20.5 rounds to even


def test_a_large_set_is_cut_to_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three classes of 192 bytes per image: 3 of 5 images fit into 2,000 bytes once, and no second snapshot."""
    synthetic = select(toys.toy(), "random", 5)
    monkeypatch.setattr("distillset.report.pictures.BUDGET", 2000)
    sheet, kept = plan(synthetic, 11)
    assert [len(rows) for rows in sheet.rows] == [3, 3, 3]
    assert kept == 1
    assert sheet.notes == ("the first 3 of 5 images per class", "about 1 of 11 snapshots")


@pytest.mark.parametrize(("together", "columns"), [(1, 7), (2, 5)])
def test_runs_side_by_side_have_narrower_strips(tmp_path: Path, together: int, columns: int) -> None:
    """Seven images: in one line alone, five and two beside another run, where a line of seven would be too small."""
    folders = [tmp_path / str(i) for i in range(together)]
    for folder in folders:
        select(toys.toy(), "random", 7).save(folder)
    assert [run.sheet.columns for run in gather(folders)] == [columns] * together


def test_the_command(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "page.html"
    assert main(["report", str(run), "--out", str(out)]) == 0
    assert capsys.readouterr().out.startswith(f"{out}: 0.")
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("folders", "told"),
    [(["nowhere"], "nowhere: no such folder"), (["RUN", "RUN"], "is given twice"), (["/"], "no card.json")],
)
def test_wrong_input_is_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], folders: list[str], told: str
) -> None:
    given = [str(run) if folder == "RUN" else folder for folder in folders]
    assert main(["report", *given, "--out", str(tmp_path / "page.html")]) == 2
    shown = capsys.readouterr()
    assert told in shown.err
    assert shown.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_cannot_be_written(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    cases = {tmp_path: "is a folder; name the file to write", tmp_path / "file" / "page.html": "cannot be written"}
    for out, told in cases.items():
        assert main(["report", str(run), "--out", str(out)]) == 2
        assert told in capsys.readouterr().err
