"""``distillset verify DIR...``: check artifacts against their cards."""

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from distillset.commands.options import add_data, load_data
from distillset.commands.progress import CommandProgress
from distillset.commands.wording import in_flags
from distillset.data.synthetic import SyntheticSet
from distillset.distillation.verify import Check, verify
from distillset.errors import InputError, unwritable
from distillset.sources.cache import STAGE
from distillset.store import cache_folder

SIGNS = {True: "ok", False: "FAILED", None: "-"}


def add(verbs: Any) -> None:
    """Add the verb."""
    about = "Compute every checksum and fingerprint again, and compare them with the cards of the artifacts."
    parser = verbs.add_parser("verify", help="check artifacts against their cards", description=about)
    parser.add_argument("artifacts", type=Path, nargs="+", metavar="DIR", help="folders of the artifacts")
    add_data(parser, None)
    parser.add_argument(
        "--real",
        action="store_true",
        help="also check the training set, which is decoded again: --data, or else the one that the card names",
    )
    parser.add_argument("--json", action="store_true", help="print the checks as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check, and print one line per check.

    Raises:
        InputError: something does not hold; all checks have been printed by then.
    """
    with _aside() if options.real or options.data is not None else nullcontext() as decoded:
        by_folder = {str(folder): _checks(folder, options, decoded) for folder in options.artifacts}
    if options.json:
        print(json.dumps({name: [check.to_json() for check in checks] for name, checks in by_folder.items()}, indent=2))
    else:
        for name, checks in by_folder.items():
            lines = [
                f"  {SIGNS[check.holds]:<7}{check.name:<12}{in_flags(' '.join(check.told.split()))}" for check in checks
            ]
            print("\n".join([name, *lines]))
    failed = [f"{name}: {check.told}" for name, checks in by_folder.items() for check in checks if check.holds is False]
    if failed:
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise InputError.about("verify", f"{failed[0]}{more}")
    return 0


@contextmanager
def _aside() -> Iterator[Path]:
    """A folder to decode the source in anew: what is checked is what it holds, and not what the cache says of it.

    It lies in the cache, whose disk is large enough, under a name that is swept away after a week where a kill left it.
    """
    try:
        root = cache_folder()
        folder = tempfile.mkdtemp(prefix=f"{STAGE}verify-", dir=root)
    except OSError as error:
        raise unwritable(root, error, advice="; DISTILLSET_CACHE names another folder") from None
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _checks(folder: Path, options: argparse.Namespace, decoded: Path | None) -> list[Check]:
    if decoded is None:
        return verify(folder)
    checks = verify(folder)
    if any(check.holds is False for check in checks):
        return checks
    origin = SyntheticSet.load(folder).card.get("data") or {}
    return verify(folder, load_data(options, CommandProgress(), origin, decoded=decoded).train)
