"""The tables of README and docs in Markdown, from the files in ``results/`` alone."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from distillset.errors import InputError
from distillset.presets import PRESETS, variants
from distillset.reproduction import Results
from distillset.reproduction.record import ours, percent
from distillset.store import read_json
from tools.accuracies import measured, overview

BEGIN, END = "<!-- results: made by tools/results.py -->", "<!-- end of results -->"
OVERVIEW = ("<!-- overview: made by tools/results.py -->", "<!-- end of overview -->")
SPEED = ("<!-- speed: made by tools/results.py -->", "<!-- end of speed -->")
ABLATIONS = ("<!-- ablations: made by tools/results.py -->", "<!-- end of ablations -->")
SCALING = ("<!-- scaling: made by tools/results.py -->", "<!-- end of scaling -->")
AGREEMENT = ("<!-- agreement: made by tools/results.py -->", "<!-- end of agreement -->")

STEPS_TIMED = {
    "dm": "DM, 10 images per class, 256 real ones",
    "dc-1": "DC, 1 image per class, 256 real ones",
    "dc-10": "DC, 10 images per class, 256 real ones: two of ten updates, 50 epochs between them",
    "mtt-1": "MTT, 1 image per class, 50 student steps",
    "mtt-10": "MTT, 10 images per class, 10 student steps",
    "mtt-20-steps": "MTT, 10 images per class, 20 student steps",
    "expert": "one epoch of one expert",
    "evaluation": "training on 100 synthetic images",
    "five-networks": "five networks on 100 images, 20 epochs each (not the textbook: our code, one network at a time)",
}
"""Cases of the benchmark and what they are."""


def speed(path: Path) -> str:
    """The table of `make bench`; empty where nothing was measured."""
    if not path.exists():
        return ""
    found = read_json(path)
    hardware = found["hardware"]
    lines = [
        "",
        "| one step, CIFAR-10's shape | fast path | textbook loop | ratio | peak memory |",
        "|---|---|---|---|---|",
    ]
    for case, told in STEPS_TIMED.items():
        if (row := found.get(case)) is None:
            continue
        lines.append(
            f"| {told} | {row['fast_s']:.2f} s | {row['textbook_s']:.2f} s | {row['ratio']:.1f} | {_megabytes(row)} |"
        )
    where = hardware.get("gpu") or f"{hardware['processor']}, {hardware['threads']} threads"
    disk = found.get("expert", {}).get("state_bytes")
    told = f" An epoch of an expert takes {disk / 1e6:.2f} MB on disk." if disk else ""
    lines += ["", f"Measured on {where}, by `make bench`.{told}"]
    return "\n".join(lines) + "\n"


def _megabytes(row: Mapping[str, Any]) -> str:
    """A dash where the system does not tell."""
    if None in (row.get("fast_mb"), row.get("textbook_mb")):
        return "-"
    return f"{row['fast_mb']:.0f} against {row['textbook_mb']:.0f} MB"


def ablated(folder: Path) -> str:
    """The tables of ablations, a folder per row of presets: what each improvement adds to the published setting."""
    told = []
    for row, preset in PRESETS.items():
        results, names = Results(folder / row), variants(preset, 1)
        found = {name: result for name in names if (result := results.read(name)) is not None}
        told += [_ablation(row, found)] if found else []
    return "\n".join(told)


def _ablation(row: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    base = next(iter(found.values()))
    lines = [
        f"{row}, {base['steps']} steps of {base['steps_published']}, {base['settings']['expert_count']} experts:",
        "",
        "| on top of the published setting | accuracy % (networks) | points |",
        "|---|---|---|",
    ]
    for name, result in found.items():
        own = ours(result)
        gain = "-"
        if name != "published" and "published" in found:
            gain = f"{100 * (own['mean'] - ours(found['published'])['mean']):+.1f}"
        fields = ", ".join(result["departures"]) or "nothing"
        lines.append(f"| {fields} | {percent(own)} ({own['n']}) | {gain} |")
    return "\n".join(lines) + "\n"


def scaling(path: Path) -> str:
    """The tables of `python -m benchmarks.scaling`: sizes, ranks and data larger than memory; empty if not measured."""
    if not path.exists():
        return ""
    found = read_json(path)
    lines = [
        "",
        "| classes, images per class, size | seconds per step of DM | by work | of DC | by work |",
        "|---|---|---|---|---|",
    ]
    points = {}
    for sweep in ("classes", "images per class", "image size"):
        for dm, dc in zip(found[sweep]["dm"], found[sweep]["dc"], strict=True):
            told = " | ".join(f"{row['seconds']:.3g} | {row['by_work']:.2f}" for row in (dm, dc))
            points[f"{dm['classes']}, {dm['ipc']}, {dm['size']}x{dm['size']}"] = told
    lines += [f"| {point} | {told} |" for point, told in points.items()]
    lines += [
        "",
        "| shared work | one process of two threads | two ranks of one | ratio of times |",
        "|---|---|---|---|",
    ]
    for name, row in found["ranks"].items():
        lines.append(
            f"| {name} | {row['one_process']:.3g} s | {row['two_ranks']:.3g} s | {row['ratio_of_times']:.2f} |"
        )
    if large := found.get("large"):
        lines += [
            "",
            f"| `distill dm`, {large['files']:,} files in {large['classes']} classes | start-up after imports "
            "| one step | anonymous memory |",
            "|---|---|---|---|",
        ]
        for name, row in large.items():
            if isinstance(row, dict):
                told = f"{row['start_s']:.1f} s | {row['step_s']:.1f} s | {row['anonymous_mb']:,.0f} MB"
                lines.append(f"| {name} | {told} |")
    hardware = found["hardware"]
    lines += ["", f"Measured on {hardware['processor']}, {hardware['threads']} threads, without compilation."]
    return "\n".join(lines) + "\n"


def agreement(path: Path) -> str:
    """The table of `python -m benchmarks.agreement`, the networks that agree most first; empty if not measured."""
    if not path.exists():
        return ""
    found = read_json(path)
    lines = ["", "| network | cosine |", "|---|---|"]
    for name, row in sorted(found["networks"].items(), key=lambda item: -item[1]["cosine"]):
        lines.append(f"| {name} | {row['cosine']:.3f} ± {row['error']:.3f} |")
    return "\n".join(lines) + "\n"


def refreshed(pages: Sequence[Path], folder: Path) -> dict[Path, str]:
    """The pages whose tables are not those of the results in ``folder``, with what they should be.

    Raises:
        InputError: a page without marks.
    """
    blocks: dict[tuple[str, str], Callable[[], str]] = {
        (BEGIN, END): lambda: f"{measured(Results(folder))}\n",
        OVERVIEW: lambda: f"{overview(Results(folder))}\n",
        SPEED: lambda: speed(folder / "benchmarks.json"),
        ABLATIONS: lambda: ablated(folder / "ablations"),
        SCALING: lambda: scaling(folder / "scaling.json"),
        AGREEMENT: lambda: agreement(folder / "agreement.json"),
    }
    stale = {}
    for page in pages:
        text = fresh = page.read_text(encoding="utf-8")
        marked = {marks: tables for marks, tables in blocks.items() if marks[0] in text or marks[1] in text}
        for (begin, end), tables in (marked or {(BEGIN, END): str}).items():
            before, opened, rest = fresh.partition(begin)
            _, closed, after = rest.partition(end)
            if not opened or not closed:
                raise InputError.about(page, f"no {begin} followed by {end}")
            fresh = f"{before}{begin}\n{tables()}{end}{after}"
        if fresh != text:
            stale[page] = fresh
    return stale
