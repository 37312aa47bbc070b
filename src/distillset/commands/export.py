"""``distillset export``, ``import`` and ``push``: an artifact in other programs' forms, and back."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from distillset.commands.options import add_data, add_machine, load_data, machine
from distillset.commands.progress import CommandProgress
from distillset.commands.wording import in_flags
from distillset.data.grid import GRID
from distillset.data.spec import Spec
from distillset.data.synthetic import SyntheticSet
from distillset.errors import InputError
from distillset.evaluation import Ledger, Protocol
from distillset.export import EXPORTERS, VALUES, export, read_pt
from distillset.export.hub import push
from distillset.export.measure import measure
from distillset.sources.picture_sets import read_pictures
from distillset.store import cache_folder
from distillset.watch import write_note


def add(verbs: Any) -> None:
    """Add the verbs."""
    _add_export(verbs.add_parser("export", help="write a set as pictures, parquet or .pt files"))
    _add_import(verbs.add_parser("import", help="make an artifact from a .pt file or a folder of pictures"))
    parser = verbs.add_parser("push", help="upload a set to the Hugging Face hub")
    parser.add_argument("artifact", type=Path, metavar="DIR", help="folder of the artifact")
    parser.add_argument(
        "--repo", required=True, metavar="OWNER/NAME", help="dataset repository; it is created if it does not exist"
    )
    parser.add_argument("--private", action="store_true", help="if the repository is created, make it private")
    parser.set_defaults(run=run_push)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifact", type=Path, metavar="DIR", help="folder of the artifact")
    parser.add_argument("--to", required=True, choices=list(EXPORTERS), help="file format")
    parser.add_argument(
        "--out", type=Path, required=True, help="a new folder; for parquet, the artifact's folder is allowed too"
    )
    parser.add_argument(
        "--measure",
        action="store_true",
        help="with --to parquet: measure what accuracy the 8-bit pictures lose, and state it in the card",
    )
    group = parser.add_argument_group("with --measure")
    group.add_argument("--network", default="convnet", help="network to train (default convnet)")
    group.add_argument("--repeats", type=int, default=5, help="networks to train on each form (default 5)")
    group.add_argument("--protocol", default="auto", help="how they are trained (default auto: as in the set's paper)")
    group.add_argument("--epochs", type=int, help="training epochs in place of the protocol's; its name then says so")
    add_data(parser, None)
    add_machine(parser)
    parser.set_defaults(run=run_export)


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        type=Path,
        nargs="+",
        metavar="FILE",
        help=".pt files of images, or of images and labels, which are joined; or a folder that export wrote, or "
        "with one sub-folder of pictures per class",
    )
    parser.add_argument(
        "--labels", type=Path, nargs="+", metavar="FILE", help="files of labels, if they are not in the files of images"
    )
    parser.add_argument(
        "--values",
        choices=VALUES,
        default="auto",
        help="what floating-point images hold: normalised values, or pixels between 0 and 1 (unit); auto takes them "
        "as pixels if all lie between 0 and 1 (default auto)",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the new artifact")
    parser.add_argument("--method", default="imported", help="name of the method in the card (default imported)")
    parser.add_argument(
        "--mean",
        type=float,
        nargs="+",
        help="mean of each channel that the images were normalised with (default: the data's)",
    )
    parser.add_argument("--std", type=float, nargs="+", help="standard deviation of each channel, likewise")
    add_data(parser, "digits")
    parser.set_defaults(run=run_import)


def run_export(options: argparse.Namespace) -> int:
    """Export, and say what is worth knowing."""
    synthetic = SyntheticSet.load(options.artifact)
    if options.measure and options.to != "parquet":
        raise InputError("measure", True, f"needs `to='parquet'`, not {options.to}")
    measured = None
    if options.measure:
        data = load_data(options, CommandProgress(), synthetic.card.get("data") or {})
        measured = measure(
            synthetic,
            data,
            network=options.network,
            repeats=options.repeats,
            protocol=Protocol(options.protocol, options.epochs),
            ledger=Ledger(cache_folder("accuracies")),
            watcher=CommandProgress(),
            machine=machine(options),
        )
        exact, rounded = measured["rows"].values()
        write_note(f"accuracy {exact['mean']:.2%} as learned, {rounded['mean']:.2%} as 8-bit pictures")
    for line in export(synthetic, options.to, options.out, measured=measured):
        write_note(in_flags(line))
    print(f"{options.out}: {len(synthetic)} images as {options.to}")
    return 0


def run_import(options: argparse.Namespace) -> int:
    """Read a file, and save what it holds as an artifact."""
    out: Path = options.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("out", out, "exists and is not an empty folder; choose another")
    data = load_data(options, CommandProgress())
    synthetic = _imported(options, _spec(options, data.train.spec))
    replace(synthetic, card={**synthetic.card, "data": data.origin()}).save(out)
    print(f"{out}: {len(synthetic)} images of {synthetic.spec.classes} classes; picture {out / GRID}")
    return 0


def _imported(options: argparse.Namespace, spec: Spec) -> SyntheticSet:
    """What the files or the folder hold."""
    files: list[Path] = options.file
    if folder := next((file for file in files if file.is_dir()), None):
        if len(files) > 1 or options.labels:
            raise InputError.about(folder, "a folder is imported by itself, without other files and `labels`")
        written = [path for path in (folder / "images_best.pt", *sorted(folder.glob("res_*.pt"))) if path.is_file()]
        if not written:
            return read_pictures(folder, spec, CommandProgress(), options.method)
        files = written[:1]
        write_note(f"{folder}: reading {files[0].name}")
    return read_pt(files, options.labels, spec, method=options.method, values=options.values, watcher=CommandProgress())


def _spec(options: argparse.Namespace, spec: Spec) -> Spec:
    """That of the data, with the normalisation of the flags: code of the field uses CIFAR-10's for CIFAR-100, say."""
    return replace(spec, mean=tuple(options.mean or spec.mean), std=tuple(options.std or spec.std))


def run_push(options: argparse.Namespace) -> int:
    """Upload, and print the address."""
    print(push(options.artifact, options.repo, private=options.private))
    return 0
