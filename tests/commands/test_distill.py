"""``distillset distill``: what it prints, what it leaves, and how it refuses."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from distillset import DM, distill, load
from distillset.commands import main, parser
from distillset.data.synthetic import SyntheticSet
from distillset.methods import METHODS
from distillset.watch import Watcher
from tests import toys

EAGER = ["--device", "cpu", "--precision", "fp32", "--compile", "off"]


def command(data: Path | str, out: Path, *more: str) -> list[str]:
    return [
        "distill", "dm", "--data", str(data), "--ipc", "2", "--out", str(out), "--steps", "3", "--batch-real", "6",
        "--network", toys.NETWORK, *EAGER, *more,
    ]  # fmt: skip


def test_it_distils_what_the_library_does(toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main(command(toy_npz, out)) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{out}: 6 images of 3 classes; picture {out / 'grid.png'}\n"
    assert "estimate: 3 steps of" in shown.err
    assert (out / "grid.png").is_file()
    synthetic = SyntheticSet.load(out)
    data = load(toy_npz, watcher=Watcher())
    same = distill(data, DM(batch_real=6), 2, steps=3, network=toys.NETWORK, machine=toys.EAGER)
    assert torch.equal(synthetic.images, same.images)
    assert synthetic.card["data"]["source"] == str(toy_npz)


def test_again_says_so(toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main(command(toy_npz, out)) == 0
    capsys.readouterr()
    assert main(command(toy_npz, out)) == 0
    shown = capsys.readouterr()
    assert "finished already, 3 steps" in shown.err
    assert "6 images of 3 classes" in shown.out
    assert main(command(toy_npz, out, "--steps", "4")) == 0
    assert "resuming at step 3 of 4" in capsys.readouterr().err


def test_quiet_is_quiet(toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(toy_npz, tmp_path / "run", "--quiet")) == 0
    assert capsys.readouterr().err == ""


def test_every_field_is_a_flag(toy_npz: Path, tmp_path: Path) -> None:
    flags = ["--lr", "0.5", "--momentum", "0", "--batch-real", "4", "--augment", "crop_scale", "--seed", "9"]
    assert main(command(toy_npz, tmp_path / "run", *flags, "--init", "noise", "--snapshots", "1")) == 0
    settings = SyntheticSet.load(tmp_path / "run").card["settings"]
    wanted = {"lr": 0.5, "momentum": 0.0, "batch_real": 4, "augment": "crop_scale", "seed": 9, "init": "noise"}
    assert settings.items() >= wanted.items()
    assert len(list((tmp_path / "run" / "snapshots").iterdir())) == 2


@pytest.mark.parametrize("method", METHODS)
def test_defaults_are_the_method_s(method: str) -> None:
    options = vars(parser().parse_args(["distill", method, "--ipc", "1", "--out", "x"]))
    kind = METHODS[method]
    assert {name: options[name] for name in kind().values()} == kind().values()
    assert (options["steps"], options["init"], options["data"]) == (kind.steps, kind.init, "digits")
    assert (options["network"], options["seed"], options["snapshots"]) == ("convnet", 0, 10)


def test_accuracy_is_logged(
    toy_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from distillset.commands import distill as verb

    asked: list[dict[str, Any]] = []

    def evaluate(*arguments: Any, **named: Any) -> list[Any]:
        asked.append(named)
        return [type("Row", (), {"mean": 0.625})]

    monkeypatch.setattr(verb, "evaluate", evaluate)
    assert main(command(toy_npz, tmp_path / "run", "--evaluate-every", "2")) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line.get("accuracy") for line in lines] == [None, 0.625, None]
    assert asked[0]["networks"] == (toys.NETWORK,)
    assert (asked[0]["repeats"], asked[0]["beside"]) == (1, ())
    assert "step 2: accuracy 62.50%" in capsys.readouterr().err


def test_a_network_of_your_own_from_the_folder_of_the_shell(
    toy_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_nets.py").write_text(
        "from torch import nn\n\n\ndef make(channels, height, width, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, classes))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != ""])
    out = tmp_path / "run"
    assert main(command(toy_npz, out, "--network", "my_nets:make")) == 0
    assert SyntheticSet.load(out).card["settings"]["network"].startswith("my_nets:make#")
    networks = ["--networks", "my_nets:make", "convnetD1W4", "--repeats", "1", "--epochs", "1", "--beside", "none"]
    assert main(["evaluate", str(out), *networks, *EAGER]) == 0


def test_divergence_is_exit_code_three(toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--network", f"{toys.NETWORK}NN", "--lr", "1e20", "--steps", "50"]
    assert main(command(toy_npz, tmp_path / "run", *more)) == 3
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("distillset: error: diverged at step ")
    assert "try a smaller --lr" in last


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--ipc", "0"], "--ipc 0: must be at least 1"),
        (["--ipc", "two"], "--ipc two: must be a whole number"),
        (["--steps", "-1"], "--steps -1: must be at least 0"),
        (["--snapshots", "-1"], "--snapshots -1"),
        (["--evaluate-every", "-1"], "--evaluate-every -1"),
        (["--seed", "x"], "--seed x: must be a whole number"),
        (["--lr", "0"], "--lr 0.0: must be a finite number above 0"),
        (["--lr", "nan"], "--lr nan"),
        (["--lr", "fast"], "--lr fast: must be a number"),
        (["--momentum", "1"], "--momentum 1.0"),
        (["--batch-real", "0"], "--batch-real 0"),
        (["--augment", "crop_bend"], "unknown operation 'bend'"),
        (["--network", "perceptron"], "network 'perceptron': not known"),
        (["--network", "ConvNetD9"], "depth 9 of ConvNet"),
        (["--network", "no_such:make"], "network no_such:make: cannot import 'no_such'"),
        (["--network", "tests.nets.own:number"], "network tests.nets.own:number: gives int"),
        (
            ["--network", "tests.nets.own:broken"],
            "cannot be made for 3 classes of (3, 8, 8): RuntimeError: out of luck",
        ),
        (["--network", "tests.nets.own:too_many"], "forward gives [2, 4] for 2 images; [n, 3] is needed"),
        (["--network", "tests.nets.own:Convolutional"], "has no embed(images), and no linear layer"),
        (["--init", "nowhere"], "--init nowhere: choose real, noise, kmeans"),
        (["--init", "/"], "no card.json"),
        (["--device", "tpu"], "--device tpu: choose"),
        (["--device", "cuda:77"], "--device cuda:77: this machine has"),
        (["--precision", "fp64"], "--precision fp64: choose"),
        (["--compile", "maybe"], "--compile maybe: choose"),
        (["--data", "nowhere"], "nowhere"),
        (["--data", "./nowhere"], "--data ./nowhere: no such folder or file"),
        (["--data", __file__], "a file of this kind is not read"),
        (["--test", "./nowhere"], "nowhere"),
        (["--data-dir", "./nowhere"], "--data-dir nowhere: no such folder"),
        (["--resize", "8"], "--resize 8: must be HEIGHTxWIDTH"),
        (["--resize", "0x8"], "--resize 0x8: must be HEIGHTxWIDTH"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)
def test_wrong_input_is_one_line_and_nothing_is_left(
    toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], told: str
) -> None:
    try:
        code: object = main(command(toy_npz, tmp_path / "run", "--quiet", *flags))
    except SystemExit as usage:
        code = usage.code
    shown = capsys.readouterr()
    assert code == 2
    assert shown.out == ""
    last = shown.err.splitlines()[-1]
    assert last.startswith("distillset: error: ")
    assert told in last
    assert "Traceback" not in shown.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["distill"], ["distill", "magic", "--ipc", "1", "--out", "x"], ["distill", "dm"], ["dance"],
        ["distill", "dm", "--ipc", "1"], ["distill", "dm", "--out", "x"],
    ],
)  # fmt: skip
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_another_run_s_folder(toy_npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(toy_npz, tmp_path / "run", "--quiet")) == 0
    assert main(command(toy_npz, tmp_path / "run", "--quiet", "--ipc", "3")) == 2
    assert capsys.readouterr().err == (
        "distillset: error: --ipc 3: the run in this folder was started with 2; use that, or another --out\n"
    )


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--version"], ["--help"], ["distill", "dm", "--help"], ["evaluate", "--help"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
        assert capsys.readouterr().out
