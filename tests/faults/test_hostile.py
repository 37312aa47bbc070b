"""Names and cards of strangers: nothing in them moves a cursor, leaves a folder, marks up a page or runs."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distillset import load
from distillset.commands import main
from distillset.data.spec import Spec
from distillset.data.synthetic import SyntheticSet
from distillset.errors import InputError
from distillset.escapes import printable
from distillset.evaluation import Ledger, Protocol, evaluate
from distillset.export import EXPORTERS, export
from distillset.report import report
from distillset.store import read_json, write_json
from distillset.watch import Watcher
from tests import toys
from tests.bad_input.case import EAGER
from tests.runs import distil

NAMES = (
    "../../outside",
    "/etc/passwd",
    "\x1b[2J\x1b[31mred\x07",
    "<script>alert(1)</script>",
    "..",
    "a\nb`|![x](http://e)",
)
"""A class each: paths, a terminal's control codes, and markup."""

SPEC = Spec("../..\x1b]0;title\x07<b>", 3, 8, 8, NAMES, (0.5,) * 3, (0.25,) * 3)


@pytest.fixture
def hostile(tmp_path: Path) -> SyntheticSet:
    images = torch.rand(len(NAMES), 3, 8, 8, generator=torch.Generator().manual_seed(0))
    card = {"method": "../../m\x1b[31m<i>", "settings": {"network": "os:system"}, "data": {"source": "../../s\x1b[31m"}}
    made = SyntheticSet(images, torch.arange(len(NAMES)), SPEC, card)
    made.save(tmp_path / "inside" / "set")
    return SyntheticSet.load(tmp_path / "inside" / "set")


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("to", EXPORTERS)
def test_no_export_leaves_its_folder(hostile: SyntheticSet, tmp_path: Path, to: str) -> None:
    before = files(tmp_path)
    export(hostile, to, tmp_path / "inside" / "deep" / to)
    new = files(tmp_path) - before
    assert new
    assert all(path.is_relative_to(tmp_path / "inside" / "deep" / to) for path in new)


def test_trained_networks_stay_in_their_folder(hostile: SyntheticSet, tmp_path: Path) -> None:
    real = toys.toy([2] * len(NAMES))
    from distillset.sources.load import Data

    data, kept = Data(real, real, "toy"), tmp_path / "inside" / "networks"
    before = files(tmp_path)
    evaluate(
        hostile, data, artifact="../../../away\x1b[31m", networks=(toys.NETWORK,), repeats=1,
        protocol=Protocol(epochs=0), beside=(), ledger=Ledger(None, kept), machine=toys.EAGER,
    )  # fmt: skip
    new = files(tmp_path) - before
    assert len(new) == 1
    assert all(path.parent == kept for path in new)


def test_class_folders_with_such_names_are_decoded_into_the_cache_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
    from tests.sources.on_disk import picture, write_classes

    odd = "\x1b[31m..\\..\\x"
    source = write_classes(tmp_path / "\x1b[2J..", {"a": [picture(n) for n in range(4)], odd: [picture(5)] * 4})
    before = files(tmp_path)
    data = load(source, watcher=Watcher())
    assert odd in data.train.spec.class_names
    assert all(path.is_relative_to(tmp_path / "cache") for path in files(tmp_path) - before)


def test_pages_and_readmes_hold_no_markup_of_theirs(hostile: SyntheticSet, tmp_path: Path) -> None:
    folder = tmp_path / "inside" / "set"
    page = report([folder], tmp_path / "inside" / "page.html").read_text()
    export(hostile, "parquet", tmp_path / "inside" / "hub")
    assert "<script>alert" not in page
    for readme in (folder / "README.md", tmp_path / "inside" / "hub" / "README.md"):
        text = readme.read_text()
        assert "<script" not in text
        assert "](http" not in text
        assert "\x1b" not in text
    shown = hostile._repr_html_()
    assert shown is not None
    assert "<i>" not in shown


@pytest.mark.parametrize("json_too", [[], ["--json"]])
def test_a_terminal_gets_no_control_codes(
    hostile: SyntheticSet, tmp_path: Path, capsys: pytest.CaptureFixture[str], json_too: list[str]
) -> None:
    folder = tmp_path / "inside" / "\x1b[31mset"
    shutil.copytree(tmp_path / "inside" / "set", folder)
    assert main(["verify", str(folder), *json_too]) == 0
    assert main(["export", str(folder), "--to", "imagefolder", "--out", str(tmp_path / "inside" / "out\x1b[1m")]) == 0
    assert main(["evaluate", str(folder), *EAGER]) == 2, "the card's source leads nowhere"
    assert main(["distill", "dm", "--data", "\x1b[31mnowhere", "--ipc", "1", "--out", "x"]) == 2
    shown = capsys.readouterr()
    for text in (shown.out, shown.err):
        assert "\x1b" not in text
        assert "\x07" not in text
    assert r"\x1b[31m" in shown.err


@given(text=st.text())
def test_what_is_shown_is_harmless_and_plain_text_stays(text: str) -> None:
    shown = printable(text)
    assert not any(
        ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u202a\u202b\u202d\u202e\u2066\u2067\u2068" for c in shown
    )
    assert printable("größe 猫 🐈‍⬛ नमस्ते") == "größe 猫 🐈‍⬛ नमस्ते"


def test_nothing_that_a_card_names_is_imported_or_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A module beside the user, named as the network, selector and source of a stranger's set."""
    monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "stranger.py").write_text("raise SystemExit('it ran')\n")
    folder, toy = tmp_path / "set", toys.toy_file(tmp_path / "toy.npz")
    made = distil(ipc=1, steps=1)
    card = {**made.card, "method": "stranger:run", "settings": {"network": "stranger:run", "init": "stranger:run"}}
    SyntheticSet(made.images, made.labels, made.spec, {**card, "data": {"source": str(toy)}}).save(folder)
    few = ["--networks", toys.NETWORK, "--repeats", "1", "--epochs", "0", "--beside", "none", *EAGER]
    assert main(["evaluate", str(folder), *few]) == 0
    assert main(["verify", str(folder)]) == 0
    assert main(["report", str(folder), "--out", str(tmp_path / "page.html")]) == 0
    again = [
        "distill",
        "dm",
        "--data",
        str(toy),
        "--ipc",
        "1",
        "--steps",
        "1",
        "--batch-real",
        "4",
        "--init",
        str(folder),
    ]
    assert main([*again, "--network", toys.NETWORK, "--out", str(tmp_path / "run"), *EAGER]) == 0
    assert "it ran" not in capsys.readouterr().err


# --- cards and artifacts of anything ---------------------------------------------------------------------------------

ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**6)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    *("schema", "images", "ipc", "spec", "whiten", "fingerprint", "versions", "created", "method", "settings", "data"),
    *("metrics", "steps", "canvas"),
]
SPEC_FIELDS = ["name", "channels", "height", "width", "class_names", "mean", "std", "flip"]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return distil(steps=1).save(tmp_path_factory.mktemp("good") / "set")


def loads_or_is_named(folder: Path) -> None:
    """One line that names the file or the field, or a set that is what its card says."""
    try:
        made = SyntheticSet.load(folder)
    except InputError as error:
        refusal = str(error)
    else:
        assert made.fingerprint() == made.card["fingerprint"]
        return
    assert refusal
    assert "\n" not in refusal


@given(changes=st.dictionaries(st.sampled_from(FIELDS), ANY, min_size=1, max_size=3))
def test_a_card_of_anything(good: Path, tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any]) -> None:
    folder = tmp_path_factory.mktemp("card") / "set"
    shutil.copytree(good, folder)
    write_json(folder / "card.json", {**read_json(folder / "card.json"), **changes})
    loads_or_is_named(folder)


@given(changes=st.dictionaries(st.sampled_from(SPEC_FIELDS), ANY, min_size=1, max_size=2))
def test_a_spec_of_anything(good: Path, tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any]) -> None:
    folder = tmp_path_factory.mktemp("spec") / "set"
    shutil.copytree(good, folder)
    card = read_json(folder / "card.json")
    write_json(folder / "card.json", {**card, "spec": {**card["spec"], **changes}})
    loads_or_is_named(folder)


@given(content=st.binary(max_size=200) | st.builds(lambda value: json.dumps(value).encode(), ANY))
def test_a_card_of_any_bytes(good: Path, tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("bytes") / "set"
    shutil.copytree(good, folder)
    (folder / "card.json").write_bytes(content)
    with pytest.raises(InputError) as named:
        SyntheticSet.load(folder)
    assert "card.json" in str(named.value) or "spec" in str(named.value)


@given(cut=st.integers(0, 10**6), flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 7)), max_size=3))
def test_tensors_of_damaged_bytes(
    good: Path, tmp_path_factory: pytest.TempPathFactory, cut: int, flips: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("tensors") / "set"
    shutil.copytree(good, folder)
    path = folder / "synthetic.safetensors"
    whole = path.read_bytes()
    content = bytearray(whole[: cut % (len(whole) + 1)] if cut % 3 == 0 else whole)
    for position, bit in flips:
        if content:
            content[position % len(content)] ^= 1 << bit
    path.write_bytes(content)
    if bytes(content) == whole:
        loads_or_is_named(folder)
    else:
        with pytest.raises(InputError, match=r"synthetic\.safetensors"):
            SyntheticSet.load(folder)


@pytest.mark.parametrize("word", ["\ud800", "a\0b"])
def test_a_word_that_no_name_can_be(word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["distill", "dm", "--ipc", "1", "--out", f"{tmp_path}/{word}"]) == 2
    assert main(["verify", word]) == 2
    assert [line.split(":")[1] for line in capsys.readouterr().err.splitlines()] == [" error", " error"]


def test_a_mark_is_no_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--protocol=--`` is an empty list to argparse."""
    assert main(["evaluate", str(tmp_path), "--protocol=--"]) == 2
    assert capsys.readouterr().err == "distillset: error: argument --protocol=--: -- is no value\n"


def test_a_name_that_is_too_long_for_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy, few = toys.toy_file(tmp_path / "toy.npz"), ["--network", toys.NETWORK, "--ipc", "1", "--quiet", *EAGER]
    out = str(tmp_path / ("x" * 300))
    assert main(["continual", "--data", str(toy), "--out", out, "--memory", "random", "--steps", "3", *few]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "xxxx" in line


def test_wrong_usage_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["presets", "\x1b[31m"])
    assert r"\x1b[31m" in capsys.readouterr().err
