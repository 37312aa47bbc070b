"""What someone adds is everywhere: by one line in a table, and by an entry point of another package."""

import json
import re
import runpy
from pathlib import Path

import pytest
import torch

import distillset as ds
from distillset.augment import Augmentation
from distillset.commands import main
from distillset.commands.doctor import TABLES, packages
from distillset.coresets import Selector
from distillset.errors import InputError
from distillset.evaluation import evaluate
from distillset.keys import Key, fold
from distillset.nets import Network, canonical
from distillset.reproduction.plan import plan
from distillset.tables import PluginTable, PluginWarning
from distillset.testing import check_method, check_network, check_selector
from distillset.training import Recipe
from tests import stranger, toys
from tests.commands.test_distill import command
from tests.plugins import install

BY_GROUP = {table.group: table for table in TABLES}
EAGER = ["--device", "cpu", "--precision", "fp32", "--compile", "off"]


@pytest.fixture(params=["a line", "an entry point"])
def added(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Everything of `tests.stranger` is in its table."""
    if request.param == "a line":
        for group, (name, _, row) in stranger.ROWS.items():
            monkeypatch.setitem(BY_GROUP[group].built_in, name, row)
    else:
        install_all(tmp_path, monkeypatch)
    return str(request.param)


def install_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = {group: {name: f"tests.stranger:{attribute}"} for group, (name, attribute, _) in stranger.ROWS.items()}
    (folder / "site").mkdir()
    install(monkeypatch, folder / "site", points)


def helped(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The help of a command, on one line."""
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    return " ".join(capsys.readouterr().out.split())


def test_every_kind_is_tried_here() -> None:
    assert stranger.ROWS.keys() == BY_GROUP.keys()


@pytest.mark.parametrize("group", stranger.ROWS)
def test_a_table_has_it_after_its_other_rows(group: str, added: str) -> None:
    name, _, row = stranger.ROWS[group]
    table = BY_GROUP[group]
    assert list(table)[-1] == name
    assert table[name] is row
    assert table.package(name) == (None if added == "a line" else "stranger 1.0")
    assert table.resolve(name.upper()) == name


@pytest.mark.usefixtures("added")
@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["select"], "outermost"),
        (["continual"], "outermost"),
        (["distill", "dm"], "flat"),
        (["evaluate"], "flat"),
        (["evaluate"], "slide"),
        (["evaluate"], "brief"),
        (["nas"], "brief"),
        (["distill", "dm"], "patterns"),
        (["distill", "dm"], "lines"),
    ],
)
def test_help(words: list[str], name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert name in helped(capsys, *words)


@pytest.mark.usefixtures("added")
@pytest.mark.parametrize("name", ["outermost", "flat", "brief", "lines"])
def test_completion(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    assert re.search(rf"^\S+_choices=\(.*\b{name}\b.*\)$", capsys.readouterr().out, re.MULTILINE)


def test_the_doctor_lists_it(added: str) -> None:
    found = [(row["noun"], row["name"], row["package"], row["fault"]) for row in packages()]
    assert len(found) == (0 if added == "a line" else len(stranger.ROWS))
    assert (("network", "flat", "stranger 1.0", None) in found) == (added != "a line")


@pytest.mark.usefixtures("added")
def test_a_selector(tmp_path: Path, toy_npz: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_selector("outermost")
    assert main(["presets", "--method", "outermost"]) == 0
    assert "outermost-cifar10-1  20.0 +- 1.0" in capsys.readouterr().out
    assert plan(stranger.PUBLISHED, 2).name == "outermost-cifar10-1"
    out = tmp_path / "chosen"
    few = ["--ipc", "2", "--network", toys.NETWORK, "--epochs", "1", *EAGER]
    assert main(["select", "Outermost", "--data", str(toy_npz), "--out", str(out), *few]) == 0
    assert ds.SyntheticSet.load(out).card["method"] == "outermost"


def test_a_network(added: str) -> None:
    check_network("Flat", shapes=[(3, 8, 8), (1, 5, 9)])
    assert canonical("FLATW4AT") == "flatw4"
    data = toys.toy_data()
    made = ds.distill(data, ds.DM(batch_real=4), 1, steps=1, network="FlatW4", machine=toys.EAGER)
    assert made.card["settings"]["network"].startswith("flatw4")
    once = ds.Protocol(epochs=1)
    (row,) = evaluate(made, data, protocol=once, networks=["FlatAS"], repeats=1, beside=(), machine=toys.EAGER)
    assert row.network == "FlatAS"
    # Ours is known by its name alone, a stranger's by its structure as well: another version of it is another network.
    assert ("#" in Network.of("Flat", data.train.spec).name) == (added != "a line")


def test_a_family_is_tried_in_all_its_forms() -> None:
    check_network(stranger.FLAT, shapes=[(3, 8, 8)])


@pytest.mark.usefixtures("added")
def test_an_augmentation() -> None:
    augmentation = Augmentation.parse("slide_flip")
    words = fold(Key(0)("augment").words(), torch.arange(12))
    images = torch.rand(12, 3, 8, 8)
    plain, known = (augmentation.draw(words, (3, 8, 8), on_host=on_host) for on_host in (False, True))
    assert known.kinds is not None
    assert set(known.kinds) == {"slide", "flip"}
    torch.testing.assert_close(known.apply(images), plain.apply(images))
    shift, at = int(plain.numbers[known.kinds.index("slide"), 5]), known.kinds.index("slide")
    slid = torch.zeros(3, 8, 8)
    slid[:, :, : 8 - shift] = images[at][:, :, shift:]
    torch.testing.assert_close(plain.apply(images)[at], slid)
    data = toys.toy_data()
    made = ds.distill(data, ds.DM(batch_real=4, augment="slide"), 1, steps=1, network=toys.NETWORK, machine=toys.EAGER)
    protocol = ds.Protocol(epochs=1, augment="slide_flip")
    (row,) = evaluate(made, data, protocol=protocol, networks=[toys.NETWORK], repeats=1, beside=(), machine=toys.EAGER)
    assert row.recipe["augmentation"] == "slide_flip"


@pytest.mark.usefixtures("added")
def test_a_protocol(tmp_path: Path, toy_npz: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "chosen"
    assert main(["select", "random", "--data", str(toy_npz), "--ipc", "2", "--out", str(out)]) == 0
    few = ["--networks", toys.NETWORK, "--repeats", "1", "--beside", "none", "--no-cache", *EAGER]
    assert main(["evaluate", str(out), "--protocol", "brief", *few]) == 0
    assert "brief: epochs 2" in capsys.readouterr().out


@pytest.mark.usefixtures("added")
def test_a_method(tmp_path: Path, toy_npz: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It has flags, runs, is evaluated by its own protocol, and stands among the presets with its cost."""
    check_method("means")
    assert "means" in helped(capsys, "distill")
    told = helped(capsys, "distill", "means")
    assert "--lr X learning rate of the images; must be a finite number above 0 (default 0.5)" in told
    out, small = tmp_path / "run", ["--ipc", "1", "--network", toys.NETWORK, *EAGER]
    asked = ["distill", "means", "--data", str(toy_npz), "--out", str(out), "--lr", "0.25", "--often", "true", *small]
    assert main(asked) == 0
    card = ds.SyntheticSet.load(out).card
    assert (card["method"], card["steps"], card["rates"]) == ("means", 3, {"images": 0.25})
    assert card["settings"].items() >= {"lr": 0.25, "batch_real": 16, "often": True}.items()
    capsys.readouterr()
    few = ["--networks", toys.NETWORK, "--repeats", "1", "--beside", "none", "--no-cache", *EAGER]
    assert main(["evaluate", str(out), *few]) == 0
    assert "brief: epochs 2" in capsys.readouterr().out
    assert main(["presets", "--method", "means"]) == 0
    # Two networks of three passes would be 3 x 10 images x 3 epochs; five are listed. 3 steps of 80 + 30 images.
    assert re.search(rf"means-cifar10-1 .* {(3 * 110 + 3 * 10 * 3 * 5) / 1e6:.3g} ", capsys.readouterr().out)
    assert main([*asked[:5], str(tmp_path / "bad"), "--batch-real", "0", *small]) == 2
    assert "--batch-real 0: must be at least 1" in capsys.readouterr().err
    assert not (tmp_path / "bad").exists()


@pytest.mark.usefixtures("added")
def test_a_known_data_set() -> None:
    data = ds.load("patterns")
    assert torch.equal(data.train.images, toys.toy().images)
    assert (data.source, data.train.spec.flip, data.train.spec.class_names) == ("patterns", False, ("a", "b", "c"))


@pytest.mark.usefixtures("added")
def test_a_source(tmp_path: Path) -> None:
    file = tmp_path / "some.patterns"
    file.write_text("any")
    assert torch.equal(ds.load(file).train.images, toys.toy().images)
    (tmp_path / "some.other").write_text("any")
    with pytest.raises(InputError, match=r"\.patterns"):
        ds.load(tmp_path / "some.other")


@pytest.mark.usefixtures("added")
def test_a_tracker(tmp_path: Path, toy_npz: Path) -> None:
    assert main(command(toy_npz, tmp_path / "run", "--quiet", "--log", "lines", "--steps", "3")) == 0
    assert [line.split()[0] for line in (tmp_path / "run" / "lines.txt").read_text().splitlines()] == ["1", "2", "3"]


def test_in_python_a_selector_and_a_protocol_need_no_table() -> None:
    data = toys.toy_data()
    chosen = ds.select(data, stranger.OUTERMOST, 2, network=toys.NETWORK, epochs=1, machine=toys.EAGER)
    assert chosen.card["method"] == "outermost"
    rows = ds.evaluate(chosen, data, protocol=stranger.BRIEF, networks=[toys.NETWORK], repeats=1, machine=toys.EAGER)
    assert [row.protocol for row in rows] == ["brief", "brief"]
    assert rows[0].recipe["epochs"] == 2


def test_names_of_others_are_refused() -> None:
    def herding(rows: torch.Tensor, ipc: int, key: Key) -> torch.Tensor:
        return torch.arange(ipc)

    data = toys.toy_data()
    with pytest.raises(InputError, match="this name is taken"):
        ds.select(data, Selector(herding), 1)
    with pytest.raises(InputError, match="has no name for the artifact's card"):
        ds.select(data, Selector(lambda rows, ipc, key: torch.arange(ipc)), 1)
    chosen = ds.select(data, "random", 1)
    with pytest.raises(InputError, match="this name is taken"):
        ds.evaluate(chosen, data, protocol=ds.Protocol("dm", recipe=Recipe(epochs=1)))


@pytest.mark.parametrize(
    ("group", "name", "row", "why"),
    [
        ("distillset.selectors", "x", "lambda features, ipc, key: features", "needed is an object of Selector"),
        ("distillset.networks", "x", "object()", r"needed is a distillset\.nets\.Family"),
        ("distillset.networks", "small", "stranger.FLAT", "needed is the name 'flat'"),
        ("distillset.networks", "convnetd9", "Family('ConvNetD9', {}, None)", "means a network of convnet"),
        ("distillset.networks", "b", "Family('B', {}, None)", "means a pool of networks"),
        ("distillset.augmentations", "x", "GRID", r"needed is a distillset\.augment\.Operation"),
        ("distillset.augmentations", "x_y", "stranger.SLIDE", "which joins the operations of a strategy"),
        ("distillset.augmentations", "x", "Operation(COLOR, ('right',), sample, slide)", "it sets column_shift"),
        ("distillset.augmentations", "x", "Operation(GRID, (), sample, slide)", "it gives 1 parameters"),
        ("distillset.augmentations", "x", "Operation(GRID, ('s',), sample, small)", "its grid must be such that"),
        ("distillset.augmentations", "x", "Operation(GRID, ('s',), sample, infinite)", "must be finite numbers"),
        ("distillset.augmentations", "x", "Operation(GRID, ('s',), sample, None)", "it fails on images of 32x32"),
        ("distillset.protocols", "x", "stranger.BRIEF", "needed is its own name, 'brief'"),
        ("distillset.protocols", "auto", "stranger.BRIEF", "has a meaning of its own"),
        ("distillset.datasets", "x", "Form", "needed is an object of Known"),
        ("distillset.sources", "x", "Known", "needed is an object of Form"),
        ("distillset.methods", "x", "object", r"needed is a class derived from distillset\.Method"),
        ("distillset.methods", "x", "stranger.Means", "needed is its own name, 'means'"),
        ("distillset.methods", "x", "type('X', (ds.Method,), {'name': 'x'})", "has neither loss.. nor prepare"),
        ("distillset.trackers", "x", "object", "needed is a class derived from Tracker"),
    ],
)
def test_a_row_of_the_wrong_kind(
    group: str, name: str, row: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"""
import distillset as ds
from distillset.augment import COLOR, GRID, Operation
from distillset.nets import Family
from distillset.sources.forms import Form
from distillset.sources.known import Known
from tests import stranger
sample, slide = stranger.SLIDE.sample, stranger.SLIDE.columns
small = lambda parameters, size: {{"row_by_row": parameters[0] * 0 + 0.5}}
infinite = lambda parameters, size: {{"row_shift": parameters[0] / 0}}
ROW = {row}
"""
    install(monkeypatch, tmp_path, {group: {name: "other:ROW"}}, code, "other")
    table: PluginTable[object] = BY_GROUP[group]
    with pytest.raises(InputError, match=why) as caught:
        table[name]
    assert "package other 1.0" in str(caught.value)
    ours = next(iter(table.built_in))
    assert table[ours] is table.built_in[ours]


@pytest.mark.filterwarnings("default::distillset.tables.PluginWarning")
def test_a_broken_package_is_a_line_of_the_command_line_and_nobody_else_s_end(
    tmp_path: Path, toy_npz: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its source is asked for paths that nothing of ours claims; its selector only when someone wants it."""
    points = {"distillset.sources": {"broken": "gone:FORM"}, "distillset.selectors": {"broken": "gone:X"}}
    install(monkeypatch, tmp_path, points, "import no_such_package", "gone")
    few = ["--ipc", "1", "--out", str(tmp_path / "out")]
    assert main(["select", "broken", "--data", str(toy_npz), *few]) == 2
    assert "selector 'broken' of package gone 1.0" in capsys.readouterr().err
    assert main(["select", "random", "--data", str(toy_npz), *few]) == 0
    assert "gone" not in capsys.readouterr().err
    (tmp_path / "some.other").write_text("any")
    assert main(["select", "random", "--data", str(tmp_path / "some.other"), *few]) == 2
    noted, refused = capsys.readouterr().err.splitlines()
    assert noted.startswith("distillset: source 'broken' of package gone 1.0 (entry point broken = gone:FORM)")
    assert noted.endswith("No module named 'no_such_package'")
    assert refused.startswith("distillset: error: --data")


def test_a_source_that_fails_is_left_out_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
from distillset.sources.forms import Form
FORM = Form(lambda path: 1 / 0, lambda path: {})
"""
    install(monkeypatch, tmp_path, {"distillset.sources": {"zero": "failing:FORM"}}, code, "failing")
    (tmp_path / "some.other").write_text("any")
    line = r"source 'zero' of package failing 1.0 .* fails on .*ZeroDivisionError"
    with pytest.warns(PluginWarning, match=line), pytest.raises(InputError, match="a file of this kind is not read"):
        ds.load(tmp_path / "some.other")


def test_an_accuracy_is_remembered_with_the_version_of_a_package_that_augments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_all(tmp_path, monkeypatch)
    data, ledger = toys.toy_data(), tmp_path / "ledger"
    chosen = ds.select(data, "random", 1)
    for augment, expected in (("slide_flip", {"slide": "stranger 1.0"}), ("flip", None)):
        protocol = ds.Protocol(epochs=0, augment=augment)
        evaluate(chosen, data, protocol=protocol, networks=[toys.NETWORK], repeats=1, beside=(), ledger=ledger)
        entries = [json.loads(file.read_text()) for file in ledger.rglob("*.json")]
        (entry,) = [entry for entry in entries if entry["recipe"]["augmentation"] == augment]
        assert entry.get("packages") == expected


@pytest.mark.parametrize(
    ("page", "group"),
    [
        ("networks", "distillset.networks"),
        ("coresets", "distillset.selectors"),
        ("data", "distillset.datasets"),
        ("evaluation", "distillset.protocols"),
        ("evaluation", "distillset.augmentations"),
        ("dependencies", "distillset.trackers"),
    ],
)
def test_pages_name_every_row(page: str, group: str) -> None:
    text = (Path(__file__).parents[1] / "docs" / f"{page}.md").read_text().lower()
    assert [name for name in BY_GROUP[group].built_in if not re.search(rf"[`_]{re.escape(name)}[`_]", text)] == []


def test_the_page_on_extending_names_every_table() -> None:
    text = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()
    assert [group for group in BY_GROUP if f"`{group}`" not in text] == []


@pytest.mark.usefixtures("added")
def test_the_contract_tests_try_it() -> None:
    folder = Path(__file__).parent / "contract"
    assert "outermost" in runpy.run_path(str(folder / "test_selectors.py"))["every"].args[1]
    networks = runpy.run_path(str(folder / "test_networks.py"))
    assert "flat" in networks["every"].args[1]
    assert {"Flat", "FlatAT", "FlatAS"} <= set(networks["every_form"].args[1])
    methods = runpy.run_path(str(folder / "test_methods.py"))
    tried = [mark.args for test in methods.values() for mark in getattr(test, "pytestmark", [])]
    assert "means" in next(values for name, values in tried if name == "name")
