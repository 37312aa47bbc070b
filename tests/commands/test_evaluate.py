"""``distillset evaluate``: numbers with their protocol, for people and for machines."""

import json
from pathlib import Path

import pytest
import torch

from distillset import load, select
from distillset.commands import main
from distillset.training import Trainer
from distillset.watch import Watcher
from tests import toys


@pytest.fixture
def artifact(toy_npz: Path, tmp_path: Path) -> Path:
    data = load(toy_npz, watcher=Watcher())
    return select(data, "random", 2).save(tmp_path / "artifact")


def command(artifact: Path, *more: str) -> list[str]:
    return [
        "evaluate", str(artifact), "--networks", toys.NETWORK, "--repeats", "2", "--epochs", "3", "--device", "cpu",
        "--precision", "fp32", "--compile", "off", *more,
    ]  # fmt: skip


def test_json_is_all_there_is_on_stdout(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(artifact, "--json")) == 0
    shown = capsys.readouterr()
    rows = json.loads(shown.out)
    assert [row["artifact"] for row in rows] == [str(artifact), "random"]
    for row in rows:
        assert row.keys() >= {"artifact", "network", "protocol", "mean", "std", "n", "sets", "networks"}
        assert (row["network"], row["protocol"], row["n"]) == (toys.NETWORK, "dm-3-epochs", 2)
        assert 0 <= row["mean"] <= 1
        assert row["recipe"]["epochs"] == 3
    assert "random: network 2 of 2" in shown.err


def test_the_table(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(artifact, "--json")) == 0
    rows = json.loads(capsys.readouterr().out)
    assert main(command(artifact)) == 0
    shown = capsys.readouterr().out
    for row in rows:
        (line,) = [line for line in shown.splitlines() if line.startswith(row["artifact"] + " ")]
        assert f"{100 * row['mean']:.1f} +- {100 * row['std']:.1f}" in line
        assert f"2 ({row['sets']} x {row['networks']})" in line
    assert "dm-3-epochs: epochs 3, rate 0.01, momentum 0.9" in shown


def test_again_trains_nothing_unless_asked_to(
    artifact: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(command(artifact, "--json", "--seed", "41")) == 0
    first = capsys.readouterr().out

    def fit(*arguments: object) -> object:
        raise AssertionError("trained")

    monkeypatch.setattr(Trainer, "fit_together", fit)
    assert main(command(artifact, "--json", "--seed", "41")) == 0
    assert capsys.readouterr().out == first
    with pytest.raises(AssertionError, match="trained"):
        main(command(artifact, "--seed", "41", "--no-cache"))


def test_without_the_baseline(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(artifact, "--json", "--beside", "none", "--repeats", "1")) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["std"] == 0.0
    assert main(command(artifact, "--beside", "none", "--repeats", "1")) == 0
    assert "+- - " in capsys.readouterr().out


def test_networks_are_kept(artifact: Path, tmp_path: Path) -> None:
    assert main(command(artifact, "--save-networks", str(tmp_path / "nets"))) == 0
    assert len(list((tmp_path / "nets").glob("*.safetensors"))) == 4


def test_the_data_may_be_named(artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another set with the same classes and size: its own test images, and a note."""
    import numpy as np

    images, labels = toys.pixels((9, 9, 9), seed=77)
    np.savez(tmp_path / "other.npz", images=images.numpy(), labels=labels.numpy())
    assert main(command(artifact, "--data", str(tmp_path / "other.npz"), "--json")) == 0
    shown = capsys.readouterr()
    assert "was not made from this training set" in shown.err
    assert "held out a stratified 20%" in shown.err
    assert json.loads(shown.out)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--repeats", "0"], "--repeats 0"),
        (["--networks", "perceptron"], "'perceptron'"),
        (["--protocol", "quick"], "--protocol quick: choose one of auto, "),
        (["--epochs", "-1"], "epochs -1"),
        (["--device", "tpu"], "--device tpu"),
        (["--data", "./nowhere"], "--data ./nowhere"),
        (["--epochs", "few"], "--epochs few: must be a whole number"),
        (["--bogus"], "--bogus"),
    ],
)
def test_wrong_input_is_one_line(
    artifact: Path, capsys: pytest.CaptureFixture[str], flags: list[str], told: str
) -> None:
    try:
        code: object = main(command(artifact, *flags))
    except SystemExit as usage:
        code = usage.code
    shown = capsys.readouterr()
    assert code == 2
    assert shown.out == ""
    assert shown.err.splitlines()[-1].startswith("distillset: error: ")
    assert told in shown.err.splitlines()[-1]


def test_what_is_no_artifact(tmp_path: Path, toy_npz: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(tmp_path / "nowhere")) == 2
    assert "no such folder; expected an artifact" in capsys.readouterr().err
    select(toys.toy(), "random", 1).save(tmp_path / "homeless")  # made from arrays that are gone
    assert main(command(tmp_path / "homeless")) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(command(tmp_path / "homeless", "--data", str(toy_npz))) == 0


def test_the_artifact_is_not_changed(artifact: Path) -> None:
    before = {path: path.read_bytes() for path in artifact.iterdir()}
    state = torch.get_rng_state()
    assert main(command(artifact)) == 0
    assert {path: path.read_bytes() for path in artifact.iterdir()} == before
    assert torch.equal(torch.get_rng_state(), state)


def test_scores_with_all_their_parts(
    artifact: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from distillset.evaluation import protocol

    monkeypatch.setattr(protocol, "WHOLE_UPDATES", 20)
    assert main(command(artifact, "--scores", "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    means = {(row["artifact"], row["recipe"]["augmentation"] == "none"): row["mean"] for row in found["rows"]}
    assert len(found["rows"]) == len(means) == 5
    (score,) = found["scores"]
    name = str(artifact)
    assert score["label"]["hard_label_recovery"] == pytest.approx(means["whole", False] - means[name, False])
    assert score["label"]["improvement_over_random"] == pytest.approx(means[name, False] - means["random", False])
    assert score["augmentation"]["improvement_plain"] == pytest.approx(means[name, True] - means["random", True])
    assert main(command(artifact, "--scores")) == 0
    assert f"label score {score['label']['label_score']:.3f}" in capsys.readouterr().out


def test_scores_need_augmentation(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(artifact, "--scores", "--augment", "none")) == 2
    assert "--scores: the protocol has no augmentation to score" in capsys.readouterr().err


def test_a_pool_and_an_unknown_pool(artifact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = command(artifact, "--json", "--beside", "none", "--repeats", "1")
    given[given.index(toys.NETWORK)] = "P"
    assert main(given) == 0
    assert [row["network"] for row in json.loads(capsys.readouterr().out)] == ["ConvNetNP", "ConvNetMP", "ConvNetAP"]
    given[given.index("P")] = "X"
    assert main(given) == 2
    assert "pool 'X': not known; choose M, B, W, D, A, P, N or all" in capsys.readouterr().err
