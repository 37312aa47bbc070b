"""Flags that several commands share."""

import argparse
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from distillset.errors import InputError
from distillset.machine import Machine
from distillset.sources.known import KNOWN
from distillset.sources.load import Data, load
from distillset.sources.places import check_named_by_card
from distillset.watch import Watcher


def add_data(parser: argparse.ArgumentParser, default: str | None) -> None:
    """``--data`` and what goes with it."""
    group = parser.add_argument_group("data")
    which = f"default {default}" if default else "default: what the artifact was made from"
    names = ", ".join(KNOWN)
    group.add_argument(
        "--data",
        default=default,
        metavar="D",
        help=f"the data set: a known name ({names}), a folder, or a .safetensors or .npz file of arrays ({which})",
    )
    group.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="folder to search first for a known name (default: the environment variable DISTILLSET_DATA)",
    )
    group.add_argument("--test", metavar="D", help="the test set, if --data has no test split")
    group.add_argument(
        "--classes",
        nargs="+",
        metavar="C",
        help="use only these classes, by name or number; they are labelled in this order (default: all)",
    )
    group.add_argument(
        "--channels",
        type=int,
        metavar="N",
        help="channels of every image: 1 (grey), 3 (RGB) or 4 (RGBA) (default: the most that an image has)",
    )
    group.add_argument(
        "--allow-outside", action="store_true", help="allow a table to name images outside the folder of the data"
    )
    group.add_argument(
        "--resize", type=size, metavar="HxW", help="resize every image to this height and width (bilinear, antialiased)"
    )
    group.add_argument("--crop", action="store_true", help="with --resize: keep the proportions and cut out the centre")


def add_machine(parser: argparse.ArgumentParser, memory: bool = True) -> None:
    """``--device``, ``--precision``, ``--compile`` and ``--memory``; not the last where the verb has another flag of
    that name.
    """
    group = parser.add_argument_group("compute")
    group.add_argument(
        "--device", default="auto", help="cpu, cuda, cuda:N or auto (default auto: a GPU if there is one)"
    )
    group.add_argument(
        "--precision", default="auto", help="fp32, bf16 or auto (default auto: bf16 if the hardware supports it)"
    )
    group.add_argument(
        "--compile",
        default="auto",
        help="compile networks: on, off or auto (default auto: if the run is long enough to gain)",
    )
    if memory:
        group.add_argument(
            "--memory",
            default="auto",
            metavar="SIZE",
            help="memory limit, such as 500M or 2G; batches are split to fit (default auto: the fastest size)",
        )


def machine(options: argparse.Namespace) -> Machine:
    """What `add_machine` read."""
    return Machine(options.device, options.precision, options.compile, getattr(options, "memory", "auto"))


def add_study(parser: argparse.ArgumentParser, memory: bool = True) -> None:
    """What every study takes: its folder, how long it distils, how it tells what it found, and what it computes on.

    ``memory`` as in `add_machine`.
    """
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the study; run the same command again to resume it"
    )
    parser.add_argument(
        "--distill-steps", type=int, help="steps of each distillation (default: the method's published number)"
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON, a list of rows")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    add_machine(parser, memory)


def add_whiten(parser: argparse.ArgumentParser, default: str) -> None:
    """``--whiten``."""
    parser.add_argument(
        "--whiten",
        default="auto",
        help="normalisation of pixels: none (mean and std of each channel), zca (ZCA whitening), zca-large (ZCA "
        f"whitening of images above 32x32x3, too) or auto (default {default})",
    )


def size(text: str) -> tuple[int, int]:
    """``32x48`` as (height, width)."""
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise argparse.ArgumentTypeError("must be HEIGHTxWIDTH, such as 32x32")
    return int(height), int(width)


def load_data(
    options: argparse.Namespace,
    watcher: Watcher,
    origin: Mapping[str, Any] | None = None,
    decoded: Path | None = None,
) -> Data:
    """The data that the flags name; what ``origin`` (of an artifact's card) says where they do not.

    Other data than the artifact's are brought to its classes and size, too. ``watcher`` and ``decoded`` as in
    `load`.

    Raises:
        InputError: neither says what the data are, or they cannot be used.
    """
    origin = origin or {}
    if options.data is None and "source" not in origin:
        raise InputError("data", None, "not given, and the artifact does not say what it was made from")
    resize, crop = options.resize, options.crop
    if resize is None and (size_of_card := origin.get("resize")) is not None:
        if not isinstance(size_of_card, list) or [type(side) for side in size_of_card] != [int, int]:
            raise InputError.about(
                "data.resize of the card", f"is {size_of_card!r}; needed are two whole numbers, height and width"
            )
        resize, crop = (size_of_card[0], size_of_card[1]), bool(crop or origin.get("crop"))
    test = options.test
    if test is None and options.data is None and origin.get("test") is not None:
        test = check_named_by_card(str(origin["test"]), "test")
    return load(
        check_named_by_card(str(origin["source"]), "source") if options.data is None else options.data,
        data_dir=options.data_dir,
        test=test,
        classes=options.classes or origin.get("classes"),
        resize=resize,
        crop=crop,
        allow_outside=options.allow_outside,
        channels=origin.get("channels") if options.channels is None else options.channels,
        watcher=watcher,
        decoded=decoded,
    )


LARGE = 1024 * 1024
"""Pixels of an image below which no network is too large, or soon found to be."""


def check_room(options: argparse.Namespace) -> None:
    """Whether ``--network`` can see a single image of ``--resize``: before hours of decoding, not after.

    Raises:
        InputError: it takes more memory than there is.
    """
    if options.resize is None or math.prod(options.resize) < LARGE:
        return
    from distillset.data.resize import Resize
    from distillset.data.spec import Spec
    from distillset.engine import Compute, measure
    from distillset.nets import build, is_foreign

    if is_foreign(options.network):  # it is built once, for the images that there are
        return
    Resize(*options.resize)  # a slip of the pen is said as such
    spec = Spec("blank", 1, options.resize[0], options.resize[1], ("a", "b"), (0.5,), (0.25,))
    with torch.device("meta"):
        work = measure(build(options.network, spec), spec.shape, 1.0)
    Compute.resolve(replace(machine(options), compile="off"), work)
