"""Checkpoints, folders of experts, studies, configurations and bombs that are wrong."""

import io
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distillset.engine import Compute, Engine
from distillset.nets import build, canonical
from distillset.store import read_json, read_tensors, write_json, write_tensors
from distillset.training import ExpertSetting, train_experts
from distillset.watch import Watcher
from tests import toys
from tests.bad_input.artifacts import Tamper, copied, cut, text, without
from tests.bad_input.case import EAGER, Case, Place, data, distil
from tests.bad_input.sources import LABELS, folder_with
from tests.runs import Recorder
from tests.runs import distil as run

# --- checkpoints -----------------------------------------------------------------------------------------------------


def checkpoints(change: Callable[[dict[str, Any], dict[str, Any]], None]) -> Tamper:
    """Every checkpoint changed, with a checksum that is right: only a program could write it."""

    def tamper(folder: Path) -> None:
        for path in (folder / "checkpoints").iterdir():
            tensors, meta = read_tensors(path)
            change(tensors, meta)
            write_tensors(path, tensors, meta)

    return tamper


def bytes_of(change: Callable[[bytes], bytes]) -> Tamper:
    def tamper(folder: Path) -> None:
        for path in (folder / "checkpoints").iterdir():
            path.write_bytes(change(path.read_bytes()))

    return tamper


def settings(**fields: Any) -> Tamper:
    return checkpoints(lambda tensors, meta: meta["settings"].update(fields))


def meta(**fields: Any) -> Tamper:
    return checkpoints(lambda tensors, meta: meta.update(fields))


def tensors(**found: torch.Tensor | None) -> Tamper:
    def change(inside: dict[str, Any], meta: dict[str, Any]) -> None:
        for name, value in found.items():
            inside.pop(name.replace("_", ".")) if value is None else inside.update({name.replace("_", "."): value})

    return checkpoints(change)


def resumed(name: str, tamper: Tamper, told: str, *more: str) -> Case:
    """A run of one step whose checkpoints were tampered with, gone on with."""

    def command(place: Place) -> list[str]:
        out = place.folder / "run"
        from distillset import DM, load

        toy = load(place.toy, watcher=Watcher())
        run(out, data=toy, ipc=1, method=DM(batch_real=4), steps=1, watcher=Recorder())
        tamper(out)
        return [*distil(place.toy, out), "--steps", "2", *more]

    return Case(name, command, told)


NONE = "none of the 2 checkpoints can be read; choose another --out"
CHECKPOINTS = [
    resumed("checkpoints cut short", bytes_of(lambda content: content[:100]), NONE),
    resumed("checkpoints of no bytes", bytes_of(lambda content: b""), NONE),
    resumed("checkpoints with a flipped bit", bytes_of(lambda c: c[:-9] + bytes([c[-9] ^ 4]) + c[-8:]), NONE),
    resumed("pictures as checkpoints", bytes_of(lambda content: b"\x89PNG\r\n\x1a\n" * 9), NONE),
    resumed("a header of 2**60 bytes", bytes_of(lambda content: b"\0" * 7 + b"\x10{}"), NONE),
    resumed("checkpoints without a step", meta(step=None), NONE),
    resumed("checkpoints of another step", meta(step=7), NONE),
    resumed("a step in words", meta(step="one"), NONE),
    resumed("settings that are a list", meta(settings=[1]), NONE),
    resumed("seconds in words", meta(seconds="many"), NONE),
    resumed("a loss in words", meta(loss="small"), NONE),
    resumed("one number of skips", meta(skipped=[1]), NONE),
    resumed("memory in words", meta(memory="much"), NONE),
    resumed("less memory than none", meta(memory=-1), NONE),
    resumed("a checkpoint without images", tensors(leaf_images=None), "none of its learned tensors is torch.float32"),
    resumed("images of another size", tensors(leaf_images=torch.zeros(3, 3, 9, 9)), "none of its learned tensors is"),
    resumed("momenta without end", settings(momentum=0.9), "--momentum 0.5: the run .* was started with 0.9"),
    resumed("another seed", settings(seed=8), "--seed 0: the run in this folder was started with 8"),
    resumed("checkpoints of no such network", settings(network="Perceptron"), "--network .* was started with"),
    resumed("a network that is no text", settings(network=7), "--network .* was started with 7"),
    resumed("settings without compute", settings(compute=None), "compute is None; needed are device"),
    resumed("a compute of nothing", settings(compute={}), "compute is {}; needed are device, precision"),
    resumed("half a thread", settings(compute={"device": "cpu", "threads": 0.5}), "needed are device, precision"),
    resumed("a setting that is new", settings(temper=1), "temper=None: the run in this folder was started with 1"),
    resumed("fewer steps than done", lambda folder: None, "--steps 0: the run .* is already at step 1", "--steps", "0"),
]  # fmt: skip

# --- folders of experts ----------------------------------------------------------------------------------------------


def trained(place: Place) -> Path:
    """Two experts of two epochs on the good set."""
    from distillset import load

    folder = place.folder / "experts"
    real = load(place.toy, watcher=Watcher()).train
    setting = ExpertSetting(real.fingerprint(), "none", canonical(toys.NETWORK), batch=8)
    engine = Engine(Compute("cpu", "fp32", False, torch.get_num_threads(), 64))
    train_experts(engine, build(toys.NETWORK, real.spec), real, setting, folder, 2, 2, Recorder())
    return folder


def matched(name: str, tamper: Tamper, told: str, *more: str) -> Case:
    """Experts that were tampered with, matched."""

    def command(place: Place) -> list[str]:
        folder = trained(place)
        tamper(folder)
        few = ["--experts", str(folder), "--max-start", "1", "--expert-epochs", "1", "--syn-steps", "2"]
        run = ["distill", "mtt", f"--data={place.toy}", "--ipc", "1", "--out", str(place.out), "--steps", "1"]
        return [*run, "--network", toys.NETWORK, "--whiten", "none", "--quiet", *few, *EAGER, *more]

    return Case(name, command, told)


def grown(name: str, tamper: Tamper, told: str, *more: str) -> Case:
    """Experts that were tampered with, gone on with."""

    def command(place: Place) -> list[str]:
        folder = trained(place)
        tamper(folder)
        run = ["experts", f"--data={place.toy}", "--out", str(folder), "--count", "3", "--epochs", "2"]
        keep = ["--network", toys.NETWORK, "--batch", "8", "--augment", "none", "--whiten", "none", "--keep", "all"]
        return [*run, *keep, "--quiet", *EAGER, *more]

    return Case(name, command, told)


def card(**fields: Any) -> Tamper:
    def tamper(folder: Path) -> None:
        write_json(folder / "experts.json", {**read_json(folder / "experts.json"), **fields})

    return tamper


def setting(**fields: Any) -> Tamper:
    def tamper(folder: Path) -> None:
        found = read_json(folder / "experts.json")
        card(setting={**found["setting"], **fields})(folder)

    return tamper


def doing(*acts: Callable[[Path], object]) -> Tamper:
    """One thing after the other."""

    def tamper(folder: Path) -> None:
        for act in acts:
            act(folder)

    return tamper


def removed(name: str) -> Tamper:
    return lambda folder: shutil.rmtree(folder / name)


EXPERTS = [
    matched("experts without a card", without("experts.json"), r"experts: no experts\.json, so not a folder"),
    matched("a card of experts cut short", cut("experts.json"), r"experts\.json: not readable as JSON"),
    matched("a card of experts that is a list", text("experts.json", "[]"), r"experts\.json: field schema is missing"),
    matched("a card of experts of the future", card(schema=9), r"experts\.json: schema 9 is newer"),
    matched("a card of experts without a setting", card(setting=None), r"experts\.json: field setting is missing"),
    matched("a card of experts without parameters", card(parameters=None), "field parameters is missing"),
    matched("experts of another network", setting(network="mlp"), "network .* is needed, but these experts have"),
    matched("experts of other data", setting(data="0" * 64), "data .* is needed, but these experts have data '0000"),
    matched("whitened experts", setting(whiten="zca"), "whiten 'none' is needed, but these experts have whiten 'zca'"),
    matched("parameters of another shape", card(parameters=[["a", [2]]]), "parameters of these experts are not those"),
    matched("no first state", without("expert-000/epoch-00.safetensors"), "no expert has epoch 1"),
    matched("no experts at all", doing(removed("expert-000"), removed("expert-001")),
            "no expert has epoch 1"),
    matched("too few experts", lambda folder: None, "--expert-count 5: in .* only 2 experts", "--expert-count", "5"),
    matched("a file as experts", doing(shutil.rmtree, lambda folder: folder.write_text("x")),
            r"experts: no experts\.json"),
    grown("experts of another batch", setting(batch=99), "batch 8 is needed, but these experts have batch 99"),
    grown("experts of another rate", setting(lr=0.5), "lr 0.01 is needed, but these experts have lr 0.5"),
    grown("experts of another precision", card(compute={"precision": "bf16"}), "compute is .*; needed are device"),
    grown("experts without compute", card(compute=None), "field compute is missing"),
    grown("experts at a rate of nothing", lambda folder: None, "--lr nan: the learning rate", "--lr", "nan"),
]  # fmt: skip

# --- configurations and studies --------------------------------------------------------------------------------------


def method(name: str, *more: str, told: str) -> Case:
    return Case(
        f"distill {name} {' '.join(more)}",
        lambda place: [
            "distill", name, f"--data={place.toy}", "--ipc", "1", "--out", str(place.out), "--steps", "1",
            "--network", toys.NETWORK, *EAGER, *more,
        ],
        told,
    )  # fmt: skip


def studied(name: str, content: str, told: str) -> Case:
    """A study's folder whose record is wrong."""

    def command(place: Place) -> list[str]:
        place.out.mkdir()
        (place.out / "study.json").write_text(content)
        few = ["--memory", "random", "--steps", "2", "--ipc", "1"]
        return ["continual", f"--data={place.toy}", "--out", str(place.out), *few, *EAGER]

    return Case(name, command, told)


CONFIGURATIONS = [
    method("dc", "--outer", "0", told="--outer 0"),
    method("dc", "--inner", "-1", told="--inner -1"),
    method("dc", "--lr", "nan", told="--lr nan"),
    method("dsa", "--augment", "spin", told="unknown operation 'spin'"),
    method("mtt", "--syn-steps", "0", told="--syn-steps 0"),
    method("mtt", "--expert-epochs", "0", told="--expert-epochs 0"),
    method("mtt", "--max-start", "0", told="--max-start 0"),
    method("mtt", "--lr-start", "nan", told="--lr-start nan"),
    method("mtt", "--lr-start", "-1", told="--lr-start -1"),
    method("mtt", "--lr-lr", "inf", told="--lr-lr inf"),
    method("mtt", "--average", "1.5", told="--average 1.5"),
    method("mtt", "--experts", "./nowhere", told=r"nowhere: no experts\.json"),
    method("mtt", "--whiten", "pca", told="--whiten pca: choose auto, none, zca"),
    studied("a study cut short", '{"study": "contin', r"study\.json: not readable as JSON"),
    studied("a study that is a list", "[1]", "holds a study of another kind"),
    studied("a study of another kind", '{"study": "nas"}', r"holds a study of another kind \(nas\)"),
    studied("a study of other settings", '{"study": "continual", "ipc": 9}', "the run in this folder was started with"),
    studied("a study that was changed", '{"study": "continual", "seal": "0"}', r"study\.json: its checksum does not"),
]

# --- cards -----------------------------------------------------------------------------------------------------------


def verified(name: str, tamper: Tamper, told: str) -> Case:
    """A good artifact that was tampered with, exported."""

    def command(place: Place) -> list[str]:
        folder = copied(place.artifact, place.folder / "artifact")
        tamper(folder)
        return ["export", str(folder), "--to", "imagefolder", "--out", str(place.out)]

    return Case(name, command, told)


def changed_seal(folder: Path) -> None:
    found = (folder / "card.json").read_text()
    (folder / "card.json").write_text(found.replace('"method": "random"', '"method": "rundom"'))


CARDS = [
    verified("a card that was changed", changed_seal, r"card\.json: its checksum does not match"),
    verified("a card of numbers", text("card.json", "7"), "field schema is missing"),
    verified("a card of NaN", text("card.json", '{"schema": NaN}'), "NaN is not JSON"),
    verified("a card a thousand lists deep", text("card.json", "[" * 100_000), "not readable as JSON"),
    verified("a number of ten thousand digits", text("card.json", '{"schema": ' + "9" * 10_000 + "}"), "not readable"),
    verified("a card in another encoding", doing(lambda f: (f / "card.json").write_bytes("{é}".encode("utf-16"))),
             "not readable as JSON"),
    verified("a card of nothing", text("card.json", ""), "not readable as JSON"),
    verified("a card that is a folder", doing(without("card.json"), lambda f: (f / "card.json").mkdir()),
             r"no card\.json"),
    verified("tensors that are a picture", doing(lambda f: shutil.copy(f / "grid.png", f / "synthetic.safetensors")),
             r"synthetic\.safetensors: damaged"),
    verified("tensors of another program", doing(
        lambda f: (f / "synthetic.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")), "its checksum does not match"),
]  # fmt: skip

# --- bombs -----------------------------------------------------------------------------------------------------------


def zip_bomb(folder: Path) -> Path:
    """An .npz of half a megabyte that unpacks to half a gigabyte of zeros."""
    labels = io.BytesIO()
    np.save(labels, LABELS, allow_pickle=False)
    header = io.BytesIO()
    count = 2**29 // 4096
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (count, 64, 64)})
    with zipfile.ZipFile(folder / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("images.npy", "w") as member:
            member.write(header.getvalue())
            for _ in range(2**29 // 2**20):
                member.write(bytes(2**20))
        archive.writestr("labels.npy", labels.getvalue())
    return folder / "bomb.npz"


def parquet_bomb(folder: Path) -> Path:
    """A parquet file of some kilobytes with an image of 300 million zeros."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / "p").mkdir()
    table = pa.table({"image": pa.array([bytes(3 * 10**8)], pa.large_binary()), "label": [0]})
    pq.write_table(table, folder / "p" / "train.parquet", compression="zstd", use_dictionary=False)
    return folder / "p"


def too_many_rows(folder: Path) -> Path:
    """A hundred million and one labels in a few kilobytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / "p").mkdir()
    part = pa.table({"label": pa.array(np.zeros(10**7, np.int8))})
    with pq.ParquetWriter(folder / "p" / "train.parquet", part.schema, compression="zstd") as writer:
        for _ in range(10):
            writer.write_table(part)
        writer.write_table(part.slice(0, 1))
    return folder / "p"


BOMBS = [
    data(
        "an npz that is a bomb",
        zip_bomb,
        r"bomb\.npz: its arrays would unpack to 536,\d+,\d+ bytes .*bomb.* without compression: numpy\.savez",
    ),
    data(
        "parquet that is a bomb",
        parquet_bomb,
        r"train\.parquet: its columns would unpack to 300,.*bomb",
    ),
    data("parquet of too many rows", too_many_rows, r"train\.parquet: 100,000,001 rows; allowed are 100,000,000"),
    data("a safetensors that says it is larger", folder_with("x.safetensors", b"\xff" * 64), r"/f: |x\.safetensors"),
]

STATES = [*CHECKPOINTS, *EXPERTS, *CONFIGURATIONS, *CARDS, *BOMBS]
