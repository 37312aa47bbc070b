"""The improvements of this library's own preset one by one, each on top of the published setting of a row.

    python -m tools.ablate run mtt-cifar10-1 --steps 40 --experts DIR --flat-experts DIR --out RUNS [--only NAME ...]
    python -m tools.ablate record mtt-cifar10-1 --out RUNS     # writes results/ablations/mtt-cifar10-1/NAME.json
    python -m tools.results table

``run`` goes on where it stopped. Flat experts are made by ``distillset experts --sam 0.01``; every variant uses the
first ``--expert-count`` of its folder.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from distillset import MTT, distill, evaluate, load
from distillset.data.synthetic import CARD, SyntheticSet
from distillset.errors import DistillsetError
from distillset.evaluation import Ledger
from distillset.machine import Machine
from distillset.presets import PRESETS, Preset, candidates, variants
from distillset.reproduction import Results, result_of
from distillset.store import read_json, write_json
from tools.provenance import commit

RESULTS = Path(__file__).resolve().parent.parent / "results" / "ablations"
ROWS = "rows.json"


def run(options: argparse.Namespace, preset: Preset) -> None:
    """Distil and evaluate the variants."""
    data = load(preset.data, data_dir=options.data_dir)
    machine = Machine(options.device, options.precision, options.compile)
    for name, fields in chosen(options, variants(preset, options.steps)).items():
        experts = options.flat_experts if "sam" in fields else options.experts
        if experts is None:
            raise SystemExit(f"{name}: needs {'--flat-experts' if 'sam' in fields else '--experts'}")
        settings = {**preset.settings, **fields, "experts": str(experts), "expert_count": options.expert_count}
        out = options.out / name
        made = distill(
            data,
            MTT(**settings),
            preset.ipc,
            steps=options.steps,
            seed=options.seed,
            network=preset.network,
            out=out,
            machine=machine,
        )
        rows = evaluate(
            made,
            data,
            artifact=preset.method,
            networks=(preset.network,),
            repeats=options.networks,
            protocol=preset.protocol,
            beside=(),
            seed=options.seed,
            ledger=Ledger(options.out / "accuracies"),
            machine=machine,
        )
        write_json(out / ROWS, [row.to_json() for row in rows])
        print(f"{name}: {rows[0].mean:.2%} +- {rows[0].std:.2%}", flush=True)


def record(options: argparse.Namespace, preset: Preset) -> None:
    """Write a result for every variant that was evaluated."""
    for folder in sorted(path.parent for path in options.out.glob(f"*/{ROWS}")):
        card, rows = read_json(folder / CARD), read_json(folder / ROWS)
        fields = variants(preset, card["steps"])[folder.name]
        departures = [f"{name} {value}" for name, value in fields.items()]
        SyntheticSet.load(folder)  # whole, and that of its card
        result = result_of(card, rows, preset=preset, departures=departures, note=options.note, commit=commit())
        print(Results(options.results / preset.name).write(folder.name, result))


def chosen(options: argparse.Namespace, found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The variants asked for; all where none is named."""
    if unknown := [name for name in options.only or () if name not in found]:
        raise SystemExit(f"--only {unknown[0]}: choose from {', '.join(found)}")
    return {name: fields for name, fields in found.items() if not options.only or name in options.only}


def main() -> int:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    rows = [name for name, preset in PRESETS.items() if candidates(preset, 1)]
    for verb, work in (("run", run), ("record", record)):
        one = verbs.add_parser(verb)
        one.add_argument("row", choices=rows, metavar="ROW", help=f"one of {', '.join(rows)}")
        one.add_argument("--out", type=Path, required=True, help="run folders")
        one.set_defaults(work=work)
    one = verbs.choices["run"]
    one.add_argument("--steps", type=int, required=True)
    one.add_argument("--networks", type=int, default=3)
    one.add_argument("--experts", type=Path)
    one.add_argument("--flat-experts", type=Path)
    one.add_argument("--expert-count", type=int, default=2)
    one.add_argument("--only", nargs="+", metavar="NAME")
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--data-dir", type=Path)
    for flag in ("device", "precision", "compile"):
        one.add_argument(f"--{flag}", default="auto")
    one = verbs.choices["record"]
    one.add_argument("--results", type=Path, default=RESULTS)
    one.add_argument("--note", default="", help="what has to be known of how it was measured")
    options = parser.parse_args()
    try:
        options.work(options, PRESETS[options.row])
    except DistillsetError as error:
        print(f"ablate: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
