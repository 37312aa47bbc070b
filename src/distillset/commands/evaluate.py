"""``distillset evaluate DIR``: measure the test accuracy of networks trained on a set, and on random images."""

import argparse
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from distillset.augment import NONE
from distillset.commands.evaluating import add_evaluation, beside, evaluation
from distillset.commands.options import add_data, load_data
from distillset.commands.progress import CommandProgress
from distillset.data.spec import Spec
from distillset.data.synthetic import SyntheticSet
from distillset.errors import InputError
from distillset.evaluation import Protocol, Snapshots, evaluate, read_snapshots, table
from distillset.evaluation.scores import score
from distillset.report import ACCURACY
from distillset.sources.load import Data
from distillset.sources.picture_sets import holds_pictures, read_pictures
from distillset.store import write_json
from distillset.watch import write_note


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("evaluate", help="train networks on a set, and measure their test accuracy")
    parser.add_argument(
        "artifact",
        type=Path,
        metavar="DIR",
        help="folder of the artifact, or of pictures with one sub-folder per class",
    )
    add_data(parser, None)
    add_evaluation(parser)
    parser.add_argument(
        "--hard-labels", action="store_true", help="train on the most probable class in place of soft labels"
    )
    parser.add_argument(
        "--select",
        choices=("last", "validation"),
        default="last",
        help="images to evaluate: last (the artifact's) or validation (the snapshot that is best on held-out training "
        "images) (default last)",
    )
    parser.add_argument(
        "--best-on-test",
        action="store_true",
        help="also evaluate the snapshot that is best on the test set; its row says so",
    )
    parser.add_argument(
        "--scores",
        action="store_true",
        help="also compute the label and augmentation scores, with their parts and the accuracies behind them",
    )
    parser.add_argument(
        "--save-networks", type=Path, metavar="DIR", help="store the trained networks in this folder, as safetensors"
    )
    parser.add_argument(
        "--save", action="store_true", help=f"also store the rows in the artifact's folder ({ACCURACY}), for the report"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Evaluate, and print a table or JSON."""
    synthetic, data = _opened(options)
    origin = synthetic.card.get("data") or {}
    made_from = origin.get("fingerprint")
    fits = (data.train.spec.shape, data.train.spec.classes) == (synthetic.spec.shape, synthetic.spec.classes)
    if fits and made_from not in (None, data.train.fingerprint()):
        write_note(f"note: the artifact was not made from this training set ({data.source})")
    soft = options.scores and synthetic.labels.dim() > 1 and not options.hard_labels
    protocol = Protocol(options.protocol, options.epochs, options.augment, "hard" if options.hard_labels else "own")
    if options.scores:
        _check_scores(protocol, str(synthetic.card.get("method", "")), synthetic.spec)
    tried = partial(
        evaluate,
        synthetic,
        data,
        artifact=str(options.artifact),
        snapshots=_snapshots(options, synthetic),
        watcher=CommandProgress(),
        **evaluation(options, options.save_networks),
    )
    random = "soft-random" if soft else "random"
    needed = (random, "whole") if options.scores else ()
    rows = tried(protocol=protocol, beside=(*beside(options), *needed))
    if options.scores:
        rows += tried(protocol=replace(protocol, augment=NONE), beside=(random,))
        rows += tried(protocol=replace(protocol, labels="hard"), beside=()) if soft else []
    scored = score(rows, str(options.artifact)) if options.scores else []
    if options.save:
        write_json(options.artifact / ACCURACY, [row.to_json() for row in rows])
    if options.json:
        listed: Any = [row.to_json() for row in rows]
        scores = [one.to_json() for one in scored]
        print(json.dumps({"rows": listed, "scores": scores} if options.scores else listed, indent=2))
    else:
        print("\n\n".join([table(rows), *(one.text() for one in scored)]))
    return 0


def _opened(options: argparse.Namespace) -> tuple[SyntheticSet, Data]:
    """The set and its data; a folder of pictures does not say what it was made from.

    Raises:
        InputError: neither an artifact nor pictures, or ``--data`` is missing, or ``--save`` has no artifact.
    """
    if not holds_pictures(options.artifact):
        synthetic = SyntheticSet.load(options.artifact)
        return synthetic, load_data(options, CommandProgress(), synthetic.card.get("data") or {})
    if options.data is None:
        raise InputError(
            "data", None, f"not given, and {options.artifact} holds pictures, which do not name their data"
        )
    if options.save:
        raise InputError("save", True, f"{options.artifact} holds pictures and is no artifact; `read_pt()` makes one")
    data = load_data(options, CommandProgress())
    return read_pictures(options.artifact, data.train.spec, CommandProgress()), data


def _snapshots(options: argparse.Namespace, synthetic: SyntheticSet) -> Snapshots | None:
    """The snapshots beside the artifact, where there is something to choose among them for."""
    if options.select == "last" and not options.best_on_test:
        return None
    return Snapshots(read_snapshots(options.artifact, synthetic), options.select, options.best_on_test)


def _check_scores(protocol: Protocol, method: str, spec: Spec) -> None:
    """Scores need an accuracy with augmentation: say so before anything is trained."""
    if protocol.resolve(method, spec).recipe.augmentation == NONE:
        raise InputError("scores", True, "the protocol has no augmentation to score; give one with `augment`")
