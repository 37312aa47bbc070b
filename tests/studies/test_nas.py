"""Architecture search: what is trained on what, judged by which images, and how it goes on."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distillset import select
from distillset.data.whiten import Whitening
from distillset.errors import InputError, InterruptedRun
from distillset.evaluation import Protocol
from distillset.evaluation.evaluator import Evaluator
from distillset.sources.load import Data
from distillset.studies import nas
from distillset.studies.nas import Sample, _differences, _parts, _ranked
from tests import toys
from tests.runs import Recorder

DATA = toys.toy_data((20, 20, 20))
SMALL: dict[str, Any] = {
    "ipc": 1, "distill_steps": 1, "epochs": 1, "machine": toys.EAGER,
}  # fmt: skip


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A space of small networks."""
    monkeypatch.setattr("distillset.studies.space.WIDTHS", (4, 8))
    monkeypatch.setattr("distillset.studies.space.DEPTHS", (1, 2))


def run(
    out: Path,
    *proxies: str,
    data: Data = DATA,
    networks: int = 4,
    images: int | None = None,
    top: float = 0.25,
    protocol: str = "dm",
    proxy_epochs: int = 1,
    **changes: Any,
) -> dict[str, Any]:
    """A small search of which single arguments, or fields of its sample and protocol, are changed."""
    how: dict[str, Any] = {"sample": Sample(networks, images, top), "protocol": Protocol(protocol, proxy_epochs)}
    return nas(data, proxies or ("random",), out, **{**SMALL, **how, **changes})


def test_validation_images_are_held_out_before_anything() -> None:
    whole, held = _parts(DATA, None, 0)
    assert (whole.counts.tolist(), held.counts.tolist()) == ([18] * 3, [2] * 3)
    kept = {image.numpy().tobytes() for image in whole.images}
    assert not kept & {image.numpy().tobytes() for image in held.images}
    whole, held = _parts(DATA, 30, 0)
    assert (whole.counts.tolist(), held.counts.tolist()) == ([9] * 3, [1] * 3)


def test_proxies_are_judged_by_validation_and_the_whole_set_by_test_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[tuple[str, int, int, int]] = []
    plain = Evaluator.row

    def row(self: Evaluator, candidate: Any, network: Any, repeats: int) -> Any:
        found = plain(self, candidate, network, repeats)
        judged.append((candidate.artifact, candidate.size, len(self.test), found.recipe["epochs"]))
        return found

    monkeypatch.setattr(Evaluator, "row", row)
    run(tmp_path, "random", "dm", epochs=2)
    assert set(judged) == {("random", 3, 6, 1), ("dm", 3, 6, 1), ("whole", 54, 30, 2)}
    assert len(judged) == 4 * 3


def test_the_result(tmp_path: Path) -> None:
    artifact = tmp_path / "artifact"
    select(DATA, "random", 2, seed=7).save(artifact)
    result = run(tmp_path / "out", "dm", str(artifact), repeats=2)
    assert json.loads(json.dumps(result)) == json.loads((tmp_path / "out" / "nas.json").read_text())
    assert result["images"] == {"train": 54, "validation": 6, "test": 30}
    assert result["space"] == 2 * 2 * 3 * 5 * 3
    assert [row["proxy"] for row in result["proxies"]] == ["dm", str(artifact)]
    assert result["protocols"]["proxy"]["name"] == "dm-1-epochs"
    assert result["protocols"]["whole"]["batch"] == 64
    assert len({one["network"] for one in result["networks"]}) == 4
    for one in result["networks"]:
        assert set(one["accuracy"]) == {"dm", str(artifact), "whole"}
        assert one["accuracy"]["whole"] == pytest.approx(sum(one["accuracies"]["whole"]) / 2)
        assert one["accuracy"]["whole"] * 60 == pytest.approx(round(one["accuracy"]["whole"] * 60)), "of 30 test images"


def networks(**accuracies: list[float]) -> list[dict[str, Any]]:
    count = len(accuracies["whole"])
    return [
        {
            "network": f"net{i}",
            "accuracy": {name: values[i] for name, values in accuracies.items()},
            "seconds": {name: 100.0 if name == "whole" else 3.0 for name in accuracies},
        }
        for i in range(count)
    ]


def test_what_is_told_of_a_proxy() -> None:
    whole = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    # The proxy turns the best four round and gets the others right: of 28 pairs 6 are wrong; squares of differences of
    # ranks are 9, 1, 1, 9, so rho is 1 - 6 * 20 / (8 * 63).
    (row,) = _ranked(networks(whole=whole, dm=[0.1, 0.2, 0.3, 0.4, 0.8, 0.7, 0.6, 0.5]), {"dm": 50.0}, 0.5, 0)
    assert row["all"]["spearman"] == pytest.approx(1 - 120 / 504)
    assert row["all"]["kendall"] == pytest.approx(16 / 28)
    assert (row["top"]["networks"], row["top"]["spearman"]) == (4, pytest.approx(-1))
    assert row["chosen"] == {"network": "net4", "whole": 0.5, "best": 0.8, "median": pytest.approx(0.45)}
    assert row["seconds"] == {"making": 50.0, "training": 24.0, "whole": 800.0, "saved": 726.0}


def test_two_proxies_are_told_apart_only_by_their_interval() -> None:
    whole = [float(i) for i in range(12)]
    found = networks(whole=whole, right=whole, wrong=whole[::-1], same=whole)
    claims = [row["claim"] for row in _differences(found, ("wrong", "right", "same"), 0)]
    assert claims == ["right ranks better", "same ranks better", "not told apart"]


class Impatient(Recorder):
    """Asks to stop as soon as a network is done."""

    def stop(self) -> bool:
        return any("1 of 4" in note for note in self.notes)


def test_it_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(tmp_path / "whole")
    with pytest.raises(InterruptedRun, match="run the same command again to resume"):
        run(tmp_path / "stopped", watcher=Impatient())
    assert len(list((tmp_path / "stopped" / "accuracies").iterdir())) == 3
    run(tmp_path / "stopped")

    def no_training(*arguments: object, **named: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("distillset.training.Trainer.fit", no_training)
    again = run(tmp_path / "stopped")
    assert [one["accuracy"] for one in again["networks"]] == [one["accuracy"] for one in whole["networks"]]
    assert again["proxies"][0]["all"] == whole["proxies"][0]["all"]


def test_a_sample_may_grow(tmp_path: Path) -> None:
    first = run(tmp_path)
    more = run(tmp_path, networks=5)
    assert [one["accuracy"] for one in more["networks"][:4]] == [one["accuracy"] for one in first["networks"]]
    assert more["sample"] == 5


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"networks": 3}, "networks=3: must be from 4 to 180"),
        ({"networks": 181}, "networks=181: must be from 4 to 180"),
        ({"ipc": 0}, "ipc=0: must be at least 1"),
        ({"images": 5}, "images=5: must be from 6 to 60"),
        ({"images": 61}, "images=61: must be from 6 to 60"),
        ({"repeats": 0}, "repeats=0: must be at least 1"),
        ({"top": 0.0}, "top=0.0: must be above 0"),
        ({"top": 1.5}, "top=1.5: must be above 0"),
        ({"epochs": -1}, "epochs=-1"),
        ({"proxy_epochs": -1}, "epochs=-1"),
        ({"protocol": "quick"}, "protocol='quick'"),
        ({"distill_steps": -2}, "distill_steps=-2: must be at least 0"),
        ({"machine": "tpu"}, "device='tpu'"),
    ],
)
def test_wrong_input_is_named_and_leaves_nothing(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        run(tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_proxies_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"proxies='best': choose from random, .*dm"):
        run(tmp_path / "out", "best")
    select(toys.toy_data((5, 5)), "random", 1).save(tmp_path / "two")
    with pytest.raises(InputError, match="do not fit the artifact's"):
        run(tmp_path / "out", str(tmp_path / "two"))
    select(toys.toy_data((20, 20, 20), noise=90), "random", 1).save(tmp_path / "noisy")
    with pytest.raises(InputError, match="normalised with mean"):
        run(tmp_path / "out", str(tmp_path / "noisy"))
    whitening = Whitening.fit(DATA.train.images)
    replace(select(DATA, "random", 1), whitening=whitening).save(tmp_path / "white")
    with pytest.raises(InputError, match="is whitened"):
        run(tmp_path / "out", str(tmp_path / "white"))
    assert not (tmp_path / "out").exists()


def test_the_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run(tmp_path)
    assert (tmp_path / "nas.png").read_bytes().startswith(b"\x89PNG")
