"""``distillset nas``: rank networks by training them on a small set."""

import argparse
import json
from typing import Any

from distillset.commands.options import add_data, add_study, load_data, machine
from distillset.commands.progress import Terminal
from distillset.evaluation import PROTOCOLS, Protocol
from distillset.studies import nas
from distillset.studies.nas import PLOT, RESULT, Sample


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("nas", help="rank networks by training them on a small set")
    add_data(parser, "digits")
    parser.add_argument(
        "--proxy",
        dest="proxies",
        nargs="+",
        required=True,
        metavar="P",
        help="small sets to train on: selectors, methods, or folders of artifacts",
    )
    parser.add_argument(
        "--sample",
        dest="networks",
        type=int,
        default=24,
        help="number of networks to rank, drawn from the 720 of the search space (default 24)",
    )
    parser.add_argument(
        "--ipc", type=int, default=10, help="images per class of proxies that are not artifacts (default 10)"
    )
    parser.add_argument("--images", type=int, help="use about this many training images (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default 0)")
    parser.add_argument("--epochs", type=int, default=10, help="training epochs on the whole set (default 10)")
    parser.add_argument("--proxy-epochs", type=int, default=200, help="training epochs on a proxy (default 200)")
    parser.add_argument(
        "--protocol", default="dm", help=f"how networks are trained on proxies: {', '.join(PROTOCOLS)} (default dm)"
    )
    parser.add_argument(
        "--repeats", type=int, default=1, help="times that each network is trained on each set (default 1)"
    )
    parser.add_argument(
        "--top",
        type=float,
        default=0.25,
        help="also report how the best networks alone are ranked: this share of all, at least 4 (default 0.25)",
    )
    add_study(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the study, and print what it allows to be said."""
    with Terminal(options.quiet) as terminal:
        result = nas(
            load_data(options, terminal),
            options.proxies,
            options.out,
            sample=Sample(options.networks, options.images, options.top),
            ipc=options.ipc,
            seed=options.seed,
            distill_steps=options.distill_steps,
            epochs=options.epochs,
            protocol=Protocol(options.protocol, options.proxy_epochs),
            repeats=options.repeats,
            watcher=terminal,
            machine=machine(options),
        )
    if options.json:
        shared = {name: result[name] for name in ("protocols", "sample", "repeats", "images", "hardware")}
        print(json.dumps([{**row, **shared} for row in result["proxies"]], indent=2))
    else:
        print(table(result))
        print(f"{options.out / RESULT}: all of it; picture {options.out / PLOT}")
    return 0


def table(result: dict[str, Any]) -> str:
    """The result as text, protocols in full below."""
    wide = max(len("proxy"), *(len(row["proxy"]) for row in result["proxies"]))
    lines = [f"{'proxy':<{wide}}  over  networks  Spearman [95%]          Kendall [95%]           p      so it is"]
    for row in result["proxies"]:
        for over in ("all", "top"):
            part = row[over]
            chance = "-" if part["p"] is None else f"{part['p']:.3f}"
            rho, tau = (_between(part[name], part[f"{name}_interval"]) for name in ("spearman", "kendall"))
            text = f"{row['proxy']:<{wide}}  {over:<4}  {part['networks']:>8}  {rho:<22}  {tau:<22}  {chance:<5}"
            lines.append(f"{text}  {part['claim']}")
    lines.append("")
    for row in result["proxies"]:
        chosen, seconds = row["chosen"], row["seconds"]
        lines.append(
            f"{row['proxy']}: chooses {chosen['network']}, {chosen['whole']:.1%} on the whole set (best "
            f"{chosen['best']:.1%}, median {chosen['median']:.1%}); {seconds['making']:.0f} s to make and "
            f"{seconds['training']:.0f} s to train on, the whole set {seconds['whole']:.0f} s"
        )
    for row in result["differences"]:
        span = row["spearman_difference_interval"]
        text = f"Spearman's difference [{span[0]:.2f}, {span[1]:.2f}]: " if span else ""
        lines.append(f"{' and '.join(row['proxies'])}: {text}{row['claim']}")
    lines.append("")
    for what, protocol in result["protocols"].items():
        lines.append(f"{what}: " + ", ".join(f"{name} {value}" for name, value in protocol.items()))
    lines.append(
        f"{result['sample']} of {result['space']} networks; proxies judged on {result['images']['validation']} held-out"
        f" training images, the whole set on {result['images']['test']} test images; intervals over networks"
    )
    return "\n".join(lines)


def _between(value: float | None, span: list[float] | None) -> str:
    return "-" if value is None or span is None else f"{value:5.2f} [{span[0]:5.2f}, {span[1]:5.2f}]"
