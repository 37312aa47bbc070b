"""Tables from the files alone; a stale page is found."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cases import CASES
from distillset.errors import InputError
from distillset.presets import Accuracy, Preset
from distillset.reproduction import Results, result_of
from tools.accuracies import measured, overview, verdict
from tools.results import pooled
from tools.tables import ABLATIONS, BEGIN, END, STEPS_TIMED, ablated, agreement, refreshed, scaling, speed

BENCH: dict[str, dict[str, Any]] = {
    "dm": {"fast_s": 0.5, "textbook_s": 2.0, "ratio": 4.0, "fast_mb": 10.0, "textbook_mb": 40.4},
    "hardware": {"processor": "a processor", "threads": 2},
}


def made(mean: float = 0.489, **changes: Any) -> dict[str, Any]:
    """DM on CIFAR-10 at 10 images per class, 1 set by 5 networks, beside a paper's 48.9 ± 0.6."""
    row = {
        "artifact": "dm", "network": "convnet", "protocol": "dm", "mean": mean, "std": 0.002, "n": 5, "sets": 1,
        "networks": 5, "compute": {"precision": "bf16"},
    }  # fmt: skip
    result = {
        "data": {"name": "cifar10"}, "method": "dm", "ipc": 10, "steps": 20_000, "steps_published": 20_000,
        "settings": {}, "rows": [row], "published": {"mean": 48.9, "std": 0.6},
    }  # fmt: skip
    return {**result, **changes}


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (made(0.489), "level (+0.0)"),
        (made(0.483), "level (-0.6)"),  # within the paper's deviation
        (made(0.497), "+0.8"),
        (made(0.4), "short by 8.9: cause not known"),
        (made(0.4, steps=1500), "short by 8.9: 1500 of 20000 steps"),
        (made(0.4, why="a smaller real batch"), "short by 8.9: a smaller real batch"),
        (made(0.4, published=None), "-"),
        (made(0.4, departures=["lr 2.0"]), "short by 8.9: lr 2.0"),
        (made(0.4, settings={"network": "vgg11"}), "-"),  # not the paper's network
        (made(complete=False, networks_wanted=20), "partial: 5 of 20 networks; level (+0.0)"),
    ],
)
def test_how_a_result_stands_to_its_paper(result: dict[str, Any], told: str) -> None:
    assert verdict(result) == told


def test_a_row_of_the_table(tmp_path: Path) -> None:
    results = Results(tmp_path)
    random = {**made()["rows"][0], "artifact": "random", "mean": 0.3197, "sets": 5, "networks": 1}
    results.write("dm-a", made(rows=[*made()["rows"], random]))
    results.write("dm-b", made(departures=["lr 2.0"], published={"mean": 49.0, "std": 0.2}))
    results.write("dm-c", made(settings={"network": "vgg11"}))
    (tmp_path / "benchmarks.json").write_text("{}")
    assert measured(results).splitlines()[2:] == [
        "| dm | cifar10 | 10 | 48.9 ± 0.2 (1 × 5) | 32.0 ± 0.2 | 48.9 ± 0.6 | 20000 of 20000 | level (+0.0) |",
        "| dm (by vgg11, tested on convnet) | cifar10 | 10 | 48.9 ± 0.2 (1 × 5) | - | - | 20000 of 20000 | - |",
        "| dm (lr 2.0) | cifar10 | 10 | 48.9 ± 0.2 (1 × 5) | - | 49.0 ± 0.2 | 20000 of 20000 | level (-0.1) |",
    ]


def test_the_overview_marks_what_is_less_than_the_paper(tmp_path: Path, table: dict[str, Preset]) -> None:
    results = Results(tmp_path)
    assert overview(results) == ""
    own = made()["rows"][0]

    def put(name: str, mean: float, paper: tuple[float, float] | None, **changes: Any) -> None:
        method, data, ipc = name.split("-")[:3]
        published = {"mean": paper[0], "std": paper[1]} if paper else None
        rows = [{**own, "artifact": method, "protocol": method, "mean": mean}]
        more = {"method": method, "data": {"name": data}, "ipc": int(ipc), "rows": rows, "published": published}
        results.write(name, made(**{**more, **changes}))
        told = Accuracy(*paper, "a table") if paper else None
        row = Preset(method, data, int(ipc), 10, 20_000, method, "a paper", published=told)
        table[row.name] = row

    put("dm-cifar10-10", 0.483, (48.9, 0.6))  # within the paper's deviation
    put("dm-cifar10-10-by-vgg11", 0.7, (48.9, 0.6), settings={"network": "vgg11"})  # not the paper's network
    put("dm-cifar10-10-ours", 0.597, (48.9, 0.6), departures=["formation 2"])
    put("dm-cifar10-50-8-steps", 0.616, (63.0, 0.4), steps=8)
    put("dm-mnist-10", 0.971, None)
    put("random-cifar10-10", 0.24, (26.0, 1.2), steps=0, steps_published=0)
    put("mtt-cifar10-10", 0.65, (65.3, 0.7), complete=False, networks_wanted=20)
    missing = Preset("mtt", "cifar10", 50, 10, 5000, "mtt", "a paper", published=Accuracy(71.6, 0.2, "a table"))
    table[missing.name] = missing
    assert overview(results).replace("\N{NO-BREAK SPACE}", " ").splitlines() == [
        "| data, images per class | random | dm | mtt |",
        "|---|---|---|---|",
        "| cifar10, 10 | 24.0 ± 0.2↓ (26.0) | 48.3 ± 0.2 (48.9) | 65.0 ± 0.2† (65.3) |",
        "| cifar10, 50 | - | 61.6 ± 0.2†↓ (63.0) | - (71.6) |",
        "| mnist, 10 | - | 97.1 ± 0.2 | - |",
        "",
        "With other settings, dm (formation 2) on cifar10, 10 images per class: 59.7 ± 0.2†.",
    ]


def test_a_random_selection_is_its_own_row(tmp_path: Path) -> None:
    row = {**made()["rows"][0], "artifact": "random", "sets": 5, "networks": 1, "protocol": "dc"}
    results = Results(tmp_path)
    results.write("random-a", made(method="random", rows=[row], steps=0, steps_published=0, protocol_published="dc"))
    line = measured(results).splitlines()[-1]
    assert line == "| random | cifar10 | 10 | 48.9 ± 0.2 (5 × 1) | - | 48.9 ± 0.6 | - | level (+0.0) |"


def test_the_best_of_a_row_has_published_settings_where_there_is_one(tmp_path: Path) -> None:
    results, row = Results(tmp_path), Preset("dm", "cifar10", 10, 10, 20_000, "dm", "a paper")
    assert results.best(row) is None
    results.write("dm-by", made(settings={"network": "vgg11"}))
    assert results.best(row) is None, "the paper's network is another"
    results.write("dm-ours", made(departures=["lr 2.0"]))
    assert results.best(row) == results.read("dm-ours")
    results.write("dm-short", made(steps=10, departures=[]))
    assert results.best(row) == results.read("dm-short")


def test_random_images_of_a_row_of_their_own_stand_beside_others_of_the_protocol(tmp_path: Path) -> None:
    results = Results(tmp_path)
    row = {**made()["rows"][0], "artifact": "random", "mean": 0.2, "sets": 5, "networks": 1}
    results.write("random-cifar10-10", made(method="random", rows=[row], steps=0, steps_published=0))
    results.write("dm-cifar10-10", made())
    results.write("dm-other", made(rows=[{**made()["rows"][0], "protocol": "dc"}]))
    beside = [line.split(" | ")[4] for line in measured(results).splitlines()[2:]]
    assert beside == ["20.0 ± 0.2", "-", "-"], "DM under its protocol, under another, and random itself"


def test_speeds(tmp_path: Path) -> None:
    path = tmp_path / "benchmarks.json"
    assert speed(path) == ""
    path.write_text(json.dumps(BENCH))
    told = speed(path)
    assert "| DM, 10 images per class, 256 real ones | 0.50 s | 2.00 s | 4.0 | 10 against 40 MB |" in told
    assert "Measured on a processor, 2 threads, by" in told
    path.write_text(
        json.dumps({"dm": {**BENCH["dm"], "fast_mb": None}, "hardware": {"processor": "p", "gpu": "a GPU"}})
    )
    told = speed(path)
    assert "| 2.00 s | 4.0 | - |" in told
    assert "Measured on a GPU, by" in told
    assert "on disk" not in told
    path.write_text(json.dumps({**BENCH, "expert": {**BENCH["dm"], "state_bytes": 1_280_296}}))
    assert "by `make bench`. An epoch of an expert takes 1.28 MB on disk.\n" in speed(path)


def test_every_case_of_the_benchmark_has_its_line() -> None:
    assert set(STEPS_TIMED) == set(CASES)


def test_a_stale_page_is_found(tmp_path: Path) -> None:
    page, results = tmp_path / "page.md", Results(tmp_path / "results")
    page.write_text(f"above\n{BEGIN}\nold\n{END}\nbelow\n")
    results.write("dm-a", made())
    stale = refreshed([page], results.folder)
    assert list(stale) == [page]
    page.write_text(stale[page])
    assert page.read_text().startswith(f"above\n{BEGIN}\n| method")
    assert page.read_text().endswith(f"{END}\nbelow\n")
    assert refreshed([page], results.folder) == {}
    results.write("dm-a", made(0.4889))  # 48.9 as before: no table changes
    assert refreshed([page], results.folder) == {}
    results.write("dm-a", made(0.4875))
    assert list(refreshed([page], results.folder)) == [page]
    page.write_text("no marks")
    with pytest.raises(InputError, match="no <!-- results"):
        refreshed([page], results.folder)


def trained(mean: float, **changes: Any) -> dict[str, Any]:
    """MTT on CIFAR-10 at 1 image per class, 40 steps beside 2 experts, evaluated on 3 networks."""
    row = {**made(mean)["rows"][0], "artifact": "mtt", "protocol": "mtt", "n": 3, "networks": 3}
    more = {"method": "mtt", "ipc": 1, "steps": 40, "steps_published": 5000, "settings": {"expert_count": 2}}
    return made(**{"rows": [row], "departures": [], **more, **changes})


TRAINED = Preset("mtt", "cifar10", 1, 10, 5000, "mtt", "a paper")


def test_an_ablation_is_in_points_beside_the_published_setting(tmp_path: Path, table: dict[str, Preset]) -> None:
    table[TRAINED.name] = TRAINED
    assert ablated(tmp_path / "none") == ""
    results = Results(tmp_path / "mtt-cifar10-1")
    results.write("all", trained(0.35, departures=["average 0.9", "sam 0.01"]))
    results.write("sam", trained(0.29, departures=["sam 0.01"]))
    assert ablated(tmp_path).splitlines()[-1] == "| average 0.9, sam 0.01 | 35.0 ± 0.2 (3) | - |"
    results.write("published", trained(0.3))
    assert ablated(tmp_path).splitlines() == [
        "mtt-cifar10-1, 40 steps of 5000, 2 experts:",
        "",
        "| on top of the published setting | accuracy % (networks) | points |",
        "|---|---|---|",
        "| nothing | 30.0 ± 0.2 (3) | - |",
        "| sam 0.01 | 29.0 ± 0.2 (3) | -1.0 |",
        "| average 0.9, sam 0.01 | 35.0 ± 0.2 (3) | +5.0 |",
    ]


def test_scaling_is_told_by_size_ranks_and_data(tmp_path: Path) -> None:
    path = tmp_path / "scaling.json"
    assert scaling(path) == ""
    point = {"classes": 10, "ipc": 1, "size": 32, "seconds": 0.0596, "work": 100, "by_work": 1.0}
    more = {**point, "classes": 100, "seconds": 1.2345, "by_work": 1.679}
    sweep = {"dm": [point, more], "dc": [{**point, "seconds": 0.1785}, {**more, "seconds": 23.94}]}
    found = {
        "classes": sweep,
        "images per class": {name: rows[:1] for name, rows in sweep.items()},  # the first point again
        "image size": {name: rows[:1] for name, rows in sweep.items()},
        "ranks": {"dm": {"one_process": 1.25, "two_ranks": 1.15, "ratio_of_times": 0.92}},
        "hardware": {"processor": "a processor", "threads": 2},
    }
    path.write_text(json.dumps(found))
    assert scaling(path).splitlines() == [
        "",
        "| classes, images per class, size | seconds per step of DM | by work | of DC | by work |",
        "|---|---|---|---|---|",
        "| 10, 1, 32x32 | 0.0596 | 1.00 | 0.178 | 1.00 |",
        "| 100, 1, 32x32 | 1.23 | 1.68 | 23.9 | 1.68 |",
        "",
        "| shared work | one process of two threads | two ranks of one | ratio of times |",
        "|---|---|---|---|",
        "| dm | 1.25 s | 1.15 s | 0.92 |",
        "",
        "Measured on a processor, 2 threads, without compilation.",
    ]
    found["large"] = {
        "files": 100000,
        "classes": 200,
        "size": 64,
        "cached": {"load_s": 1.24, "start_s": 2.37, "step_s": 3.3, "anonymous_mb": 1370.5},
    }
    path.write_text(json.dumps(found))
    assert "| `distill dm`, 100,000 files in 200 classes |" in scaling(path)
    assert "| cached | 2.4 s | 3.3 s | 1,370 MB |" in scaling(path)


def test_a_page_of_ablations_is_refreshed(tmp_path: Path, table: dict[str, Preset]) -> None:
    table[TRAINED.name] = TRAINED
    page, (begin, end) = tmp_path / "page.md", ABLATIONS
    page.write_text(f"above\n{begin}\nold\n{end}\nbelow\n")
    Results(tmp_path / "ablations" / "mtt-cifar10-1").write("published", trained(0.3))
    fresh = refreshed([page], tmp_path)[page]
    assert fresh == f"above\n{begin}\n{ablated(tmp_path / 'ablations')}{end}\nbelow\n"
    assert "30.0" in fresh


def test_a_result_from_a_card_and_rows() -> None:
    card = {
        "method": "dm", "ipc": 2, "steps": 3, "settings": {"lr": 1.0}, "fingerprint": "f",
        "spec": {"name": "mnist"}, "data": {"fingerprint": "d"}, "metrics": {"seconds": 1.5, "memory": 99},
        "versions": {"torch": "2"},
    }  # fmt: skip
    rows = [{**made()["rows"][0], "artifact": "runs/here"}]
    result = result_of(card, rows, wanted=6, note="a note")
    assert result["rows"][0]["artifact"] == "dm"
    assert (result["published"]["mean"], result["steps_published"]) == (99.9, 6)  # of the row dm-mnist-2
    assert (result["complete"], result["networks_wanted"]) == (False, 6)
    assert result_of(card, rows, wanted=5)["complete"]
    assert (result["artifact"], result["distil_seconds"], result["note"]) == ("f", 1.5, "a note")
    assert result["distil_memory"] == 99
    assert result_of({**card, "ipc": 7}, rows)["published"] is None


def row(*accuracies: float, artifact: str = "set", **changes: Any) -> dict[str, Any]:
    counts = (
        {"sets": len(accuracies), "networks": 1} if artifact == "random" else {"sets": 1, "networks": len(accuracies)}
    )
    return {
        "artifact": artifact, "network": "convnet", "protocol": "dm", "labels": "hard", "mean": 0.5, "std": 0.0,
        "n": len(accuracies), **counts, "accuracies": list(accuracies), "seconds": 1.5, "memory": 7,
        "recipe": {"epochs": 2}, "chosen": "last", "step": None, **changes,
    }  # fmt: skip


def test_evaluations_of_other_seeds_are_one_of_all_their_networks() -> None:
    """0.5, 0.6 and 0.7 have the mean 0.6 and the deviation 0.1."""
    first, random = row(0.5, 0.6), row(0.2, artifact="random")
    own, other = pooled([[first, random], [row(0.7, memory=9), row(0.4, artifact="random", memory=None)]])
    assert (own["accuracies"], own["n"], own["sets"], own["networks"]) == ([0.5, 0.6, 0.7], 3, 1, 3)
    assert (own["mean"], own["std"]) == (pytest.approx(0.6), pytest.approx(0.1))
    assert (own["seconds"], own["memory"]) == (3.0, 9)
    assert (other["n"], other["sets"], other["networks"], other["memory"]) == (2, 2, 1, 7)
    assert pooled([[first]]) == [first]
    assert first == row(0.5, 0.6)


def test_evaluations_that_are_not_alike_are_not_put_together() -> None:
    assert len(pooled([[row(0.5)], [row(0.6, network="mlp")]])) == 2
    with pytest.raises(InputError, match=r"recipe=.*'epochs': 3.*: the evaluation before it has .*'epochs': 2"):
        pooled([[row(0.5)], [row(0.6, recipe={"epochs": 3})]])
    with pytest.raises(InputError, match=r"accuracies=\[0.5\]: are there already"):
        pooled([[row(0.5, 0.6)], [row(0.5)]])


def test_agreement_is_told_from_the_most_to_the_least(tmp_path: Path) -> None:
    path = tmp_path / "agreement.json"
    assert agreement(path) == ""
    rows = {"MLP": {"cosine": 0.0241, "error": 0.003}, "ConvNet": {"cosine": 0.4605, "error": 0.0101}}
    path.write_text(json.dumps({"networks": rows}))
    assert agreement(path).splitlines() == [
        "",
        "| network | cosine |",
        "|---|---|",
        "| ConvNet | 0.461 ± 0.010 |",
        "| MLP | 0.024 ± 0.003 |",
    ]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"lr": 1.0, "batch_real": 6, "formation": 1}, []),
        ({"lr": 1.0, "batch_real": 6}, []),  # of a version without the field
        ({"lr": 1.0, "batch_real": 32, "formation": 2}, ["batch_real 32", "formation 2"]),
    ],
)
def test_fields_that_the_paper_does_not_have_are_told(settings: dict[str, Any], told: list[str]) -> None:
    card = {
        "method": "dm", "ipc": 2, "spec": {"name": "mnist"}, "data": {"fingerprint": "f"}, "settings": settings,
        "fingerprint": "a",
    }  # fmt: skip
    rows = [{"artifact": "set", "n": 5}]
    assert result_of(card, rows)["departures"] == told
