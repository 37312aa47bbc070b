"""``distillset evaluate DIR``: what a set is worth, beside random images."""

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

from distillset.augment import NONE
from distillset.commands.evaluating import add_evaluation, evaluation
from distillset.commands.options import add_data, load_data
from distillset.commands.progress import CommandProgress
from distillset.data.spec import Spec
from distillset.data.synthetic import SyntheticSet
from distillset.errors import InputError
from distillset.evaluation import choose, evaluate, read_snapshots, table
from distillset.evaluation.scores import score
from distillset.report import ACCURACY
from distillset.sources.load import Data
from distillset.sources.picture_sets import holds_pictures, read_pictures
from distillset.store import write_json
from distillset.watch import write_note


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("evaluate", help="test accuracy of networks trained on a set")
    parser.add_argument(
        "artifact", type=Path, metavar="DIR", help="folder of the artifact, or with a sub-folder of pictures a class"
    )
    add_data(parser, None)
    add_evaluation(parser)
    parser.add_argument("--hard-labels", action="store_true", help="the most probable class instead of soft labels")
    parser.add_argument(
        "--soft-random", action="store_true", help="also random images with soft labels of a network trained on all"
    )
    parser.add_argument("--whole", action="store_true", help="also the whole real set, under its own protocol")
    parser.add_argument(
        "--select",
        choices=("last", "validation"),
        default="last",
        help="last: the artifact (default); validation: the snapshot that is best on a split of the training data",
    )
    parser.add_argument(
        "--best-on-test", action="store_true", help="also the snapshot that is best on the test set, under that name"
    )
    parser.add_argument(
        "--scores",
        action="store_true",
        help="also the label and augmentation scores with all their parts, and the rows they are made of",
    )
    parser.add_argument("--save-networks", type=Path, metavar="DIR", help="keep the trained networks as safetensors")
    parser.add_argument(
        "--save", action="store_true", help=f"also keep the rows in the artifact's folder ({ACCURACY}), for the report"
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
    needs_snapshots = options.select == "validation" or options.best_on_test
    soft = options.scores and synthetic.labels.dim() > 1 and not options.hard_labels
    if options.scores:
        _check_scores(options, str(synthetic.card.get("method", "")), synthetic.spec)
    tried = partial(
        evaluate,
        synthetic,
        data,
        artifact=str(options.artifact),
        snapshots=read_snapshots(options.artifact, synthetic) if needs_snapshots else None,
        select=options.select,
        best_on_test=options.best_on_test,
        save_networks=options.save_networks,
        **evaluation(options),
    )
    rows = tried(
        augment=options.augment,
        hard_labels=options.hard_labels,
        baseline=not options.no_baseline or (options.scores and not soft),
        soft_random=options.soft_random or soft,
        with_whole=options.whole or options.scores,
    )
    if options.scores:
        rows += tried(augment=NONE, hard_labels=options.hard_labels, baseline=not soft, soft_random=soft)
        rows += tried(augment=options.augment, hard_labels=True, baseline=False) if soft else []
    found = score(rows, str(options.artifact)) if options.scores else []
    if options.save:
        write_json(options.artifact / ACCURACY, [row.to_json() for row in rows])
    if options.json:
        listed: Any = [row.to_json() for row in rows]
        scores = [one.to_json() for one in found]
        print(json.dumps({"rows": listed, "scores": scores} if options.scores else listed, indent=2))
    else:
        print("\n\n".join([table(rows), *(one.told() for one in found)]))
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


def _check_scores(options: argparse.Namespace, method: str, spec: Spec) -> None:
    """Scores need an accuracy with augmentation: say so before anything is trained."""
    if choose(options.protocol, method, spec).with_augmentation(options.augment).recipe.augmentation == NONE:
        raise InputError("scores", True, "the protocol has no augmentation to score; give one with `augment`")
