"""Attacks on what the library itself has written: cards, headers, ledgers, logs, checkpoints, experts, caches."""

import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from distillset.data.synthetic import SyntheticSet
from distillset.errors import InputError
from distillset.store import read_json, read_tensors, write_tensors
from tests.bad_input.case import EAGER
from tests.faults.attacks.arena import SECRET, Arena, Attack, Outcome
from tests.faults.attacks.inputs import DISTIL, EVALUATE, EXPERTS, SELECT
from tests.faults.attacks.mutate import JSON, corrupted, mutated, resealed

Make = Callable[[Arena, random.Random], Attack]


def unlike(arena: Arena, name: str) -> Callable[[Outcome], str | None]:
    """Whether the accuracies that were printed are other ones than those that were measured."""

    def wrong(outcome: Outcome) -> str | None:
        found = [row["accuracies"] for row in json.loads(outcome.out)]
        return None if found == arena.truths[name] else f"{found} for {arena.truths[name]}"

    return wrong


def another(arena: Arena, folder: Path, name: str) -> Callable[[Outcome], str | None]:
    """Whether the set that was made is another one than without the attack."""

    def wrong(outcome: Outcome) -> str | None:
        found = SyntheticSet.load(folder).fingerprint()
        return None if found == arena.truths[name] else f"set {found[:12]} for {arena.truths[name][:12]}"

    return wrong


def commands(arena: Arena, folder: Path) -> dict[str, list[str]]:
    """What reads an artifact."""
    out = arena.work / "out"
    return {
        "verify": ["verify", str(folder), "--json"],
        "report": ["report", str(folder), "--out", str(out / "page.html")],
        "imagefolder": ["export", str(folder), "--to", "imagefolder", "--out", str(out)],
        "pt": ["export", str(folder), "--to", "pt", "--out", str(out)],
        "parquet": ["export", str(folder), "--to", "parquet", "--out", str(out)],
        "evaluate": ["evaluate", str(folder), *EVALUATE],
        "validation": ["evaluate", str(folder), "--select", "validation", *EVALUATE],
        "compare": ["compare", str(folder), str(arena.input("chosen")), *EVALUATE],
        "init": [
            "distill",
            "dm",
            "--data",
            str(arena.input("toy.npz")),
            "--out",
            str(out),
            "--init",
            str(folder),
            *DISTIL,
        ],
        "go on": ["distill", "dm", "--data", str(arena.input("toy.npz")), "--out", str(folder), *DISTIL],
    }


def cards(arena: Arena, draw: random.Random) -> Attack:
    """A card in which something was replaced, removed or added, with a seal that is right or none."""
    folder = arena.copy("run")
    before = read_json(folder / "card.json")
    resealed(draw, mutated(draw, before, draw.choice((1, 1, 2, 4))), folder / "card.json")
    known = commands(arena, folder)
    name = draw.choice(sorted(known))
    try:
        after = read_json(folder / "card.json")
        same = all(after.get(field) == before[field] for field in ("spec", "data"))
    except (InputError, AttributeError):
        same = False
    wrong = unlike(arena, "run") if name == "evaluate" and same else lambda outcome: None
    return Attack(f"{name} of a card", known[name], wrong=wrong)


def headers(arena: Arena, draw: random.Random) -> Attack:
    """The header or the bytes of a file of tensors."""
    folder = arena.copy("run")
    files = ["synthetic.safetensors", "snapshots/step-4.safetensors", "checkpoints/step-4.safetensors"]
    path = folder / draw.choice(files)
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    what = draw.randrange(4)
    if what == 0:
        entry = mutated(draw, json.loads(header["__metadata__"]["distillset"]))
        header["__metadata__"] = {"distillset": draw.choice((entry, draw.choice(JSON)))}
        text = json.dumps(header)
    elif what == 1:
        text = mutated(draw, header, draw.choice((1, 2)))
    else:
        text = json.dumps(header)
    told = text.encode(errors="surrogatepass")
    length = draw.choice((len(told), 0, 1, 2**63, 2**40, len(told) + 1)) if what == 2 else len(told)
    path.write_bytes(struct.pack("<Q", length) + told + content[8 + size :])
    if what == 3:
        path.write_bytes(corrupted(draw, content))
    known = commands(arena, folder)
    name = draw.choice(("verify", "report", "evaluate", "validation", "go on", "pt"))
    wrong = {"evaluate": unlike(arena, "run"), "go on": another(arena, folder, "run set")}.get(
        name, lambda outcome: None
    )
    # A header may be written in another way and say the same.
    return Attack(f"{name} of {path.name}, kind {what}", known[name], wrong=wrong)


def ledger(arena: Arena, draw: random.Random) -> Attack:
    """An accuracy that was remembered, with its seal where only a number beyond its range was put in."""
    cache = arena.own_cache()
    for path in (cache / "accuracies").iterdir():
        record = read_json(path)
        if draw.random() < 0.3:
            numbers = [99.9, 750, -1, -0.01, 1.01, True, "0.5", None, [], 2**70]
            resealed(
                draw, json.dumps({**record, draw.choice(("accuracy", "seconds")): draw.choice(numbers)}), path, 1.0
            )
        elif draw.random() < 0.5:
            resealed(draw, mutated(draw, record, draw.choice((1, 2))), path, 0.0)
        else:
            path.write_bytes(corrupted(draw, path.read_bytes()))
    found = "run" if draw.random() < 0.5 else "chosen"
    return Attack(
        f"ledger of {found}", ["evaluate", str(arena.input(found)), *EVALUATE], wrong=_of_ledger(arena, found)
    )


def _of_ledger(arena: Arena, name: str) -> Callable[[Outcome], str | None]:
    """Seconds that a seal vouches for are whoever's that sealed them: of those only the range is asked for."""
    accuracies = unlike(arena, name)

    def wrong(outcome: Outcome) -> str | None:
        rows = json.loads(outcome.out)
        fits = all(0 <= row["mean"] <= 1 and row["seconds"] >= 0 for row in rows)
        return accuracies(outcome) if fits else f"rows {rows}"

    return wrong


def logs(arena: Arena, draw: random.Random) -> Attack:
    """The log of a run, the rows beside it, or rows from elsewhere."""
    folder = arena.copy("run")
    out = arena.work / "page.html"
    if draw.random() < 0.4:
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        where = draw.randrange(len(lines))
        lines[where] = draw.choice((mutated(draw, json.loads(lines[where]), 2), draw.choice(JSON), lines[where][:9]))
        (folder / "metrics.jsonl").write_text("\n".join(lines), errors="surrogatepass")
        name = draw.choice(("report", "go on", "verify"))
        wrong = another(arena, folder, "run set") if name == "go on" else lambda outcome: None
        return Attack(f"{name} of a log", commands(arena, folder)[name], wrong=wrong)
    rows = json.loads((folder / "accuracy.json").read_text())
    text = mutated(draw, rows, draw.choice((1, 1, 3)))
    path = draw.choice((folder / "accuracy.json", arena.work / "rows.json"))
    path.write_text(text, errors="surrogatepass")
    if path.name == "rows.json":
        arguments = ["report", str(folder), "--rows", str(path), "--out", str(out)]
        return Attack("report of rows", arguments, wrong=lambda outcome: _percentages(out))
    name = draw.choice(("report", "verify"))
    arguments = ["report", str(folder), "--out", str(out)] if name == "report" else commands(arena, folder)[name]
    return Attack(f"{name} of accuracies", arguments, wrong=lambda outcome: _percentages(out))


def _percentages(page: Path) -> str | None:
    """Whether a page shows an accuracy outside 0 to 100."""
    import re

    text = page.read_text() if page.exists() else ""
    cells = re.findall(r'<td class="number">(-?[\d.e+]+|nan|inf)(?: ±[^<]*)?</td><td class="number">', text)
    odd = [cell for cell in cells if not 0 <= float(cell) <= 100]
    return f"accuracies {odd}" if odd else ("the secret" if SECRET in text else None)


def _tensor(draw: random.Random, like: torch.Tensor) -> torch.Tensor:
    """One of another type, shape or content."""
    kinds: list[Callable[[], torch.Tensor]] = [
        like.double,
        lambda: like.to(torch.int64),
        lambda: like > 0,
        like.half,
        lambda: like.to(torch.complex64),
        lambda: like[..., :-1].contiguous() if like.dim() and like.shape[-1] > 1 else like.new_zeros(3),
        lambda: like[None],
        lambda: like.new_zeros(0),
        lambda: like.new_zeros(()),
        lambda: torch.full_like(like.float(), float("nan")),
        lambda: torch.full_like(like.float(), float("inf")),
        lambda: like.float().new_full(like.shape, 1e30),
        lambda: like.to(torch.float8_e4m3fn),
    ]
    return draw.choice(kinds)()


def checkpoints(arena: Arena, draw: random.Random) -> Attack:
    """Checkpoints with a seal that is right: other tensors, other fields, other bytes."""
    folder = arena.copy("begun")
    told = ""
    for path in sorted((folder / "checkpoints").iterdir()):
        tensors, meta = read_tensors(path)
        told = draw.choice(("tensor", "fields", "compute", "bytes", "none"))
        if told == "tensor":
            name = draw.choice(sorted(tensors))
            tensors[name] = _tensor(draw, tensors[name])
        elif told == "compute":
            meta["settings"]["compute"][draw.choice(sorted(meta["settings"]["compute"]))] = _plain(draw)
        elif told == "fields":
            changed = _or_so(mutated(draw, meta), meta)
            meta = changed if isinstance(changed, dict) else {"step": changed}
        write_tensors(path, tensors, meta)
        if told == "bytes":
            path.write_bytes(corrupted(draw, path.read_bytes()))
    # A checkpoint whose seal is right and whose pixels are finite numbers of the right shape is a run's own.
    arguments = ["distill", "dm", "--data", str(arena.input("toy.npz")), "--out", str(folder), *DISTIL]
    return Attack(f"go on from checkpoints, {told}", arguments)


def _plain(draw: random.Random) -> Any:
    """A value that a file of JSON can hold."""
    return _or_so(draw.choice(JSON), draw.choice([0, -1, 10**9, "x", None, True, [], {}]))


def _or_so(text: str, otherwise: Any) -> Any:
    from distillset.store import parse

    try:
        return parse(text)
    except ValueError:
        return otherwise


def experts(arena: Arena, draw: random.Random) -> Attack:
    """The card or a state of experts."""
    folder = arena.copy("experts")
    if draw.random() < 0.6:
        resealed(
            draw, mutated(draw, read_json(folder / "experts.json"), draw.choice((1, 2))), folder / "experts.json", 0.7
        )
        what = "card"
    else:
        path = draw.choice(sorted(folder.glob("expert-*/*.safetensors")))
        tensors, meta = read_tensors(path)
        what = draw.choice(("bytes", "tensor", "fields"))
        if what == "bytes":
            path.write_bytes(corrupted(draw, path.read_bytes()))
        else:
            tensors = {"parameters": _tensor(draw, tensors["parameters"])} if what == "tensor" else tensors
            write_tensors(path, tensors, meta if what == "tensor" else _or_so(mutated(draw, meta), {}))
    arguments = ["experts", "--data", str(arena.input("toy.npz")), "--out", str(folder), *EXPERTS]
    if draw.random() < 0.5:
        few = ["--max-start", "1", "--syn-steps", "2", "--expert-epochs", "1", "--whiten", "none"]
        arguments = ["distill", "mtt", "--data", str(arena.input("toy.npz")), "--out", str(arena.work / "out"), *DISTIL,
                     "--experts", str(folder), *few]  # fmt: skip
    return Attack(f"{arguments[0]}: {what} of experts", arguments)


def results(arena: Arena, draw: random.Random) -> Attack:
    """A result in the folder of results, as `presets` prints it."""
    folder = arena.copy("results")
    path = next(folder.iterdir())
    resealed(draw, mutated(draw, read_json(path), draw.choice((1, 1, 2))), path, 0.7)
    arguments = ["presets", "--data", "mnist", "--results", str(folder), *draw.choice(((), ("--json",)))]
    return Attack("presets of a result", arguments, wrong=_of_results)


def _of_results(outcome: Outcome) -> str | None:
    shown = outcome.out if outcome.out.startswith("[") else "[]"
    odd = [row["ours"] for row in json.loads(shown) if row.get("ours") and not 0 <= row["ours"]["mean"] <= 1]
    return f"accuracies {odd}" if odd else None


def caches(arena: Arena, draw: random.Random) -> Attack:
    """What was decoded, or an expert of the selectors: anything but the truth is made again."""
    cache = arena.own_cache()
    entries = [path for path in cache.glob("toy-*/*") if path.is_file()] + sorted((cache / "experts").glob("*"))
    path = draw.choice(sorted(entries))
    if path.name == "card.json":
        resealed(draw, mutated(draw, read_json(path), draw.choice((1, 2))), path, 0.0)
    elif path.suffix == ".safetensors" and draw.random() < 0.5:
        tensors, meta = read_tensors(path)
        name = draw.choice(sorted(tensors))
        other, content = _tensor(draw, tensors[name]), path.read_bytes()
        # With a seal that is right, numbers that could be an expert's are one's.
        fits = (other.shape, other.dtype) == (tensors[name].shape, tensors[name].dtype) and bool(
            other.to(torch.complex64).isfinite().all()
        )
        write_tensors(path, {**tensors, name: other}, meta)
        if fits:
            path.write_bytes(corrupted(draw, content))
    else:
        path.write_bytes(corrupted(draw, path.read_bytes()))
    if draw.random() < 0.2:
        path.unlink()
        (arena.work / "other").write_text("x")
        path.symlink_to(arena.work / "other")
    if draw.random() < 0.5:
        return Attack(
            f"evaluate with {path.name}", ["evaluate", str(arena.input("run")), *EVALUATE], wrong=unlike(arena, "run")
        )
    out = arena.work / "out"
    arguments = ["select", "herding", "--data", str(arena.input("toy.npz")), "--out", str(out), *SELECT, *EAGER]
    return Attack(f"select with {path.name}", arguments, wrong=another(arena, out, "chosen set"))
