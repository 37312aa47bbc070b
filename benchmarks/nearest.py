"""``python -m benchmarks.nearest``: what the images nearest to their class mean are worth, each chosen for itself.

Herding looks at what is chosen already, so that the *mean* of the chosen is close to that of the class. Without that
the chosen are alike. The features are those that the library's own selectors see.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distillset import SyntheticSet, evaluate, load
from distillset.coresets import expert
from tools.provenance import provenance


def nearest(features: Tensor, ipc: int) -> Tensor:
    """Positions ``int64 [ipc]`` of the embeddings ``float [n, d]`` nearest to their mean, the nearest first."""
    return (features - features.mean(0)).square().sum(1).argsort()[:ipc]


def main() -> None:
    """Evaluate a data set by the DC paper's protocol, print a line, and write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nearest", description=__doc__)
    parser.add_argument("data", help="a known name or a folder")
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--networks", type=int, default=5, help="fresh networks (default 5)")
    parser.add_argument("--out", type=Path, help="JSON file to write; other data sets found there are kept")
    options = parser.parse_args()
    data = load(options.data)
    real, taught = data.train, expert(data.train)
    parts = [real.index(c) for c in range(real.spec.classes)]
    rows = torch.cat([part[nearest(taught.features(real, part), options.ipc)] for part in parts])
    settings = {"ipc": options.ipc, "expert": taught.to_json()}
    card = {"method": "nearest", "settings": settings, "data": data.origin()}
    chosen = SyntheticSet(real.rows(rows), real.labels[rows].clone(), real.spec, card)
    (row,) = evaluate(chosen, data, repeats=options.networks, protocol="dc", beside=())
    print(f"{options.data}, {options.ipc} a class: {100 * row.mean:.1f} +- {100 * row.std:.1f}, n {row.n}")
    if options.out:
        known: dict[str, Any] = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
        known[f"{options.data} {options.ipc}"] = {**settings, "row": asdict(row), **provenance(torch.device("cpu"))}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
