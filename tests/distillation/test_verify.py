"""``distillset verify``: what holds, and each way in which something may not."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from distillset import load, select
from distillset.commands import main
from distillset.data.synthetic import SyntheticSet
from distillset.distillation.verify import verify
from distillset.errors import InputError
from distillset.methods import MTT
from distillset.store import read_tensors, write_sealed, write_tensors
from distillset.watch import Watcher
from tests import toys
from tests.bad_input import artifacts
from tests.runs import STEPS, distil


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("verify") / "run"
    distil(out)
    return out


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return artifacts.copied(made, tmp_path / "run")


def test_a_run_holds(run: Path) -> None:
    checks = {check.name: check for check in verify(run, toys.toy())}
    assert [check.name for check in checks.values() if check.holds is not True] == ["accuracies"]
    synthetic = SyntheticSet.load(run)
    assert synthetic.fingerprint() in checks["set"].told
    assert toys.toy().fingerprint() in checks["data"].told
    assert checks["checkpoints"].told == f"whole, the last of step {STEPS}"
    assert checks["snapshots"].told == "7 whole"


def test_a_selection_holds_and_has_less_to_check(tmp_path: Path) -> None:
    folder = select(toys.toy(), "random", 1).save(tmp_path / "set")
    held = {check.name: check.holds for check in verify(folder)}
    assert held == {
        "card": True, "set": True, "said": True, "picture": True, "snapshots": None, "checkpoints": None,
        "accuracies": None, "data": None,
    }  # fmt: skip


def other_picture(folder: Path) -> None:
    shutil.copy(select(toys.toy(), "random", 2, seed=5).save(folder.parent / "other") / "grid.png", folder)


def other_snapshot(folder: Path) -> None:
    path = folder / "snapshots" / f"step-{STEPS}.safetensors"
    tensors, meta = read_tensors(path)
    write_tensors(path, {"images": tensors["images"] + 1}, meta)


def sealed_lie(folder: Path) -> None:
    write_sealed(folder / "card.json", {**SyntheticSet.load(folder).card, "ipc": 7})


def flipped_metric(folder: Path) -> None:
    text = (folder / "card.json").read_text()
    (folder / "card.json").write_text(text.replace('"step', '"stfp', 1))


@pytest.mark.parametrize(
    ("tamper", "name", "told"),
    [
        (artifacts.cut("synthetic.safetensors"), "set", "damaged"),
        (flipped_metric, "card", "checksum does not match"),
        (sealed_lie, "set", "ipc is 7; the set has 2"),
        (artifacts.cut("grid.png"), "picture", "not a readable picture"),
        (other_picture, "picture", "does not show the images of the set"),
        (artifacts.cut("snapshots/step-1.safetensors"), "snapshots", r"step-1\.safetensors: damaged"),
        (other_snapshot, "snapshots", "its images differ from those of the set"),
        (artifacts.cut(f"checkpoints/step-{STEPS}.safetensors"), "checkpoints", "damaged.*passed over"),
    ],
)
def test_what_does_not_hold_is_named(
    run: Path, tamper: Callable[[Path], None], name: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tamper(run)
    check = next(check for check in verify(run) if check.holds is False)
    assert check.name == name
    assert main(["verify", str(run)]) == 2
    shown = capsys.readouterr()
    assert f"FAILED {name}" in " ".join(shown.out.split())
    (line,) = shown.err.splitlines()
    assert line.startswith("distillset: error: verify: ")
    with pytest.raises(InputError, match=told):
        raise InputError.about("", line)


def test_other_data_do_not_hold(run: Path) -> None:
    check = verify(run, toys.toy(seed=9))[-1]
    assert (check.name, check.holds) == ("data", False)
    real = toys.toy()
    real._fingerprint = SyntheticSet.load(run).card["data"]["fingerprint"]
    real.images[0, 0, 0, 0] += 1
    assert verify(run, real)[-1].holds is False, "the pixels count, not what is remembered of them"


def test_several_as_json_and_with_their_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
    toy = load(toys.toy_file(tmp_path / "toy.npz"), watcher=Watcher())
    folders = [str(select(toy, "random", ipc).save(tmp_path / f"set-{ipc}")) for ipc in (1, 2)]
    assert main(["verify", *folders, "--real", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == folders
    assert [checks[-1]["name"] for checks in found.values()] == ["data", "data"]
    assert all(checks[-1]["holds"] for checks in found.values())


def test_no_artifact_is_no_finding(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        verify(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no card\.json"):
        verify(tmp_path)


def test_a_learned_rate_is_part_of_what_is_checked(run: Path) -> None:
    synthetic = SyntheticSet.load(run)
    replace(synthetic, lr=0.5).save(run)
    tensors, meta = read_tensors(run / "synthetic.safetensors")
    write_tensors(run / "synthetic.safetensors", {**tensors, "lr": tensors["lr"] * 2}, meta)
    assert verify(run)[1].told.endswith("does not match the fingerprint in card.json")


def test_a_learned_rate_is_that_of_the_last_snapshot(tmp_path: Path) -> None:
    method = MTT(expert_count=1, max_start=1, expert_epochs=1, syn_steps=1)
    distil(tmp_path / "run", method=method, steps=1)
    assert {check.name: check.holds for check in verify(tmp_path / "run")}["snapshots"]
