"""What a stranger may have written into a card, a header or an array: named, never believed."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from distillset.commands import main
from distillset.data.card import check_card
from distillset.data.synthetic import SyntheticSet
from distillset.errors import InputError
from distillset.store import parse, read_json, read_tensors
from distillset.watch import Watcher
from tests import toys
from tests.bad_input.artifacts import copied
from tests.bad_input.case import EAGER
from tests.runs import distil

HUGE = "1" + "0" * 400
"""10^400: JSON has it, no float does."""


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("good") / "run"
    distil(out, steps=2)
    return out


@pytest.fixture
def run(good: Path, tmp_path: Path) -> Path:
    return copied(good, tmp_path / "run")


def edited(folder: Path, field: str, text: str) -> None:
    """The card without its seal, with ``text`` as it stands for a field; ``a.b`` is one inside another."""
    card = json.loads((folder / "card.json").read_text())
    card.pop("seal")
    *outer, name = field.split(".")
    (card[outer[0]] if outer else card)[name] = "@@@"
    (folder / "card.json").write_text(json.dumps(card).replace('"@@@"', text))


COMMANDS: dict[str, Callable[[Path, Path], list[str]]] = {
    "verify": lambda folder, out: ["verify", str(folder)],
    "report": lambda folder, out: ["report", str(folder), "--out", str(out / "page.html")],
    "export": lambda folder, out: ["export", str(folder), "--to", "parquet", "--out", str(out / "hub")],
    "evaluate": lambda folder, out: ["evaluate", str(folder), "--networks", toys.NETWORK, "--repeats", "1", "--epochs",
                                     "0", "--beside", "none", *EAGER],
}  # fmt: skip

WRONG = [
    *(("versions", text) for text in ("5", '"2.13"', "[]", '{"distillset": 3}', '{"torch": null}')),
    *(("images", text) for text in ("5", '"many"', "[]", "{}", "[6, 3, 8]", '[6, "3", 8, 8]', "[7, 3, 8, 8]")),
    *(("metrics", text) for text in ("5", "[]", '"fast"', '{"seconds": "long"}', '{"memory": -5}', '{"seconds": -1}')),
    *(("metrics.seconds", text) for text in ("NaN", "Infinity", "-Infinity", HUGE, "1e999", "[]", "true")),
    *(("metrics.memory", text) for text in (HUGE, "1.5", '"5"', "{}")),
    *(("steps", text) for text in ("-1", "1.5", '"two"', "[2]", "true", HUGE, "1e999", "100000000000000000000")),
    *(("settings", text) for text in ("5", "[]", '{"lr": NaN}', '{"lr": Infinity}', f'{{"seed": {HUGE}}}')),
    *(("settings.note", text) for text in (r'"\ud800"', "[" * 3000 + "]" * 3000, "[" * 90 + "]" * 90, '"a" x')),
    *(("method", text) for text in ("5", "[]", r'"\udfff"', "{}")),
    *(("created", text) for text in ("5", "[]", r'"\ud83d"')),
    *(("data", text) for text in ("5", '"digits"', "[]", '{"source": 5}', '{"images": "24"}', '{"classes": "abc"}')),
    *(("spec.mean", text) for text in ("[NaN, 0, 0]", f"[{HUGE}, 0, 0]", "[true, true, true]", '"0.5"')),
    *(("spec.name", text) for text in (r'"\ud800"', "5", "null")),
    *(("ipc", text) for text in ("0", "3", "true", '"2"', HUGE, "null")),
    *(("canvas", text) for text in ("2", '"1"', "[]")),
    *(("formation", text) for text in ("2", "0", "[1]")),
    *(("whiten", text) for text in ('"zca"', "5", '"other"', "null")),
    *(("rates", text) for text in ("5", '{"images": "fast"}', "[1]")),
    *(("schema", text) for text in ("0", "2", "true", '"1"', "null", HUGE)),
    *(("fingerprint", text) for text in ("5", "null", '""', "[]")),
    *(("hardware", text) for text in ("5", "[]", '"cpu"')),
]


@pytest.mark.parametrize(("field", "text"), WRONG, ids=[f"{field}={text[:30]}" for field, text in WRONG])
def test_a_tampered_card_is_one_line_whatever_the_command(
    run: Path, tmp_path: Path, field: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    edited(run, field, text)
    with pytest.raises(InputError) as named:
        SyntheticSet.load(run)
    assert "card.json" in str(named.value) or "spec" in str(named.value)
    for name in ("verify", "report"):
        assert main(COMMANDS[name](run, tmp_path)) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("distillset: error: ")
        assert len(line) < 2000


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("field", "text"), [("versions", "5"), ("metrics", "[]"), ("steps", "1e999")])
def test_every_command_refuses_it(
    run: Path, tmp_path: Path, field: str, text: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    edited(run, field, text)
    assert main(COMMANDS[command](run, tmp_path)) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run"], "nothing was written"


def test_a_card_that_is_no_regular_file(run: Path) -> None:
    (run / "card.json").unlink()
    (run / "card.json").symlink_to("/dev/zero")
    with pytest.raises(InputError, match=r"no card\.json"):
        SyntheticSet.load(run)
    with pytest.raises(InputError, match="it is not a regular file"):
        read_json(run / "card.json")


def test_a_card_made_in_python_is_checked_when_it_is_saved(tmp_path: Path) -> None:
    made = distil(steps=1)
    for card, told in (
        ({"settings": {"lr": float("nan")}}, "not JSON compliant"),
        ({"method": 5}, "method is 5; it must be text"),
        ({"settings": {"net": object()}}, "not JSON serializable"),
        ({"method": "\ud800"}, "surrogates not allowed"),
        ({"fingerprint": torch.zeros(3)}, "not JSON serializable"),
    ):
        other = SyntheticSet(made.images, made.labels, made.spec, card)
        with pytest.raises(InputError, match=told):
            other.save(tmp_path / "set")
        assert not (tmp_path / "set").exists()
    assert check_card(SyntheticSet.load(made.save(tmp_path / "set")).card, "card")["ipc"] == 2


# --- JSON ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", "-Infinity", HUGE, "1e400", r'"\ud800"', r'{"\udc00": 1}', "[" * 65 + "]" * 65]
)
def test_what_json_may_not_hold(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (its words are those of several readers)
        parse(text)


def test_what_json_may_hold() -> None:
    assert parse(r'[1e308, -5, 18446744073709551616, "\ud83d\udc08", {"a": [null, true]}]') == [
        1e308, -5, 2**64, "🐈", {"a": [None, True]}
    ]  # fmt: skip
    assert parse("[" * 64 + "]" * 64)


# --- headers of tensors ----------------------------------------------------------------------------------------------


def with_header(path: Path, entry: str) -> None:
    """The file with another text as its one entry of metadata; the tensors stay."""
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = {"distillset": entry}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size :])


@pytest.mark.parametrize(
    "entry",
    [
        "5", '"text"', "[]", "null", "true", '{"meta": 5}', '{"meta": 5, "sha256": 5}', '{"meta": [], "sha256": ""}',
        '{"meta": "{}"}', '{"meta": null, "sha256": null}', "{" * 100, "[" * 5000 + "]" * 5000, f'{{"meta": {HUGE}}}',
        '{"meta": "{}", "sha256": NaN}', r'{"meta": "\ud800", "sha256": ""}', "x" * 2_000_000,
    ],
    ids=lambda entry: entry[:30],
)  # fmt: skip
def test_a_header_of_anything(run: Path, entry: str, capsys: pytest.CaptureFixture[str]) -> None:
    with_header(run / "synthetic.safetensors", entry)
    with pytest.raises(InputError, match=r"synthetic\.safetensors: "):
        SyntheticSet.load(run)
    assert main(["verify", str(run)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("meta", ["[" * 5000 + "]" * 5000, "NaN", "{", "", HUGE, r'{"a": "\ud800"}'])
def test_a_sealed_header_of_anything(tmp_path: Path, meta: str) -> None:
    """The checksum is right: only a program could write it."""
    import hashlib

    from safetensors.torch import save_file

    from distillset.store import checksum

    tensors = {"images": torch.zeros(2)}
    seal = hashlib.sha256((checksum(tensors) + meta).encode()).hexdigest()
    save_file(tensors, tmp_path / "a.safetensors", {"distillset": json.dumps({"meta": meta, "sha256": seal})})
    with pytest.raises(InputError, match=r"a\.safetensors: "):
        read_tensors(tmp_path / "a.safetensors")


def test_a_header_of_a_type_that_is_not_known(tmp_path: Path) -> None:
    dtypes: list[Any] = ["F4", "F6_E2M3", "F8_E8M0", "C64", "U8X", 5, None, []]
    for dtype in dtypes:
        header = json.dumps({"a": {"dtype": dtype, "shape": [4], "data_offsets": [0, 4]}}).encode()
        (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
        with pytest.raises(InputError, match=r"a\.safetensors: "):
            read_tensors(tmp_path / "a.safetensors")


# --- arrays ----------------------------------------------------------------------------------------------------------

HEADERS = [
    b"(" * 5000, b"[" * 9000 + b"]" * 9000, b"{" * 5000, b"{'descr': " + b"[" * 3000,
    b"{'descr': '|u1', 'shape': (-1,)}",
    b"{'descr': '|u1', 'fortran_order': False, 'shape': (1" + b"0" * 400 + b",)}", b"-" * 9000 + b"1", b"1" * 9000,
    b"{'descr': '|O', 'fortran_order': False, 'shape': (4,)}", b"{'descr': ('<f4', 5), 'fortran_order': 3, 'shape': 4}",
    b"{'descr': '<f99', 'fortran_order': False, 'shape': (4,)}", b"lambda: 1", b"{1: 2}", b"", b"\x00", b"\xff" * 20,
    b"{'descr': [('a', [('b'" + b", [('c'" * 500, b"~" * 5000 + b"1", b"a" * 60_000, b"x.y", b"f'{1}'",
    b"1" + b"+1j" * 3000,
]  # fmt: skip
"""What may stand where NumPy writes type, order and shape of an array as a Python literal."""


@pytest.mark.parametrize("header", HEADERS, ids=lambda header: str(header[:20]))
@pytest.mark.parametrize("name", ["images", "labels"])
def test_an_npz_header_of_anything(tmp_path: Path, header: bytes, name: str) -> None:
    import zipfile

    from distillset import load

    good = toys.toy_file(tmp_path / "good.npz")
    with zipfile.ZipFile(good) as archive, zipfile.ZipFile(tmp_path / "bad.npz", "w") as other:
        for member in archive.namelist():
            content = archive.read(member)
            if member == f"{name}.npy":
                content = b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header)) + header + content[-64:]
            other.writestr(member, content)
    with pytest.raises(InputError, match=r"bad\.npz") as named:
        load(tmp_path / "bad.npz", watcher=Watcher())
    assert len(str(named.value)) < 2000
    assert ("pickled" in str(named.value)) == (b"|O" in header)
