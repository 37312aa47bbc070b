"""Flags that several verbs share."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from distillset.data.sources import Data, load
from distillset.errors import InputError


def add_data(parser: argparse.ArgumentParser, default: str | None) -> None:
    """``--data`` and what goes with it."""
    group = parser.add_argument_group("data")
    told = f"default {default}" if default else "default: what the artifact was made from"
    group.add_argument(
        "--data",
        default=default,
        metavar="D",
        help=f"digits, a known name (cifar10, mnist, ...), a folder, or a .safetensors/.npz file of arrays ({told})",
    )
    group.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="where known names are looked for first (or DISTILLSET_DATA)"
    )
    group.add_argument("--test", metavar="D", help="the test set, where --data has no test split")
    group.add_argument("--resize", type=size, metavar="HxW", help="resize every image, for images of mixed sizes")


def add_compute(parser: argparse.ArgumentParser) -> None:
    """``--device``, ``--precision`` and ``--compile``."""
    group = parser.add_argument_group("compute")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default auto)")
    group.add_argument(
        "--precision", default="auto", help="auto, fp32 or bf16 (default auto: bf16 where the hardware has it)"
    )
    group.add_argument("--compile", default="auto", help="auto, on or off (default auto: where the run is long enough)")


def add_whiten(parser: argparse.ArgumentParser, default: str) -> None:
    """``--whiten`` and ``--whiten-large``."""
    parser.add_argument(
        "--whiten", default="auto", help=f"auto, none or zca: whitening in place of mean and std (default {default})"
    )
    parser.add_argument("--whiten-large", action="store_true", help="allow it for images above 32x32x3")


def size(text: str) -> tuple[int, int]:
    """``32x48`` as (height, width)."""
    height, _, width = text.partition("x")
    if not (height.isdigit() and width.isdigit() and int(height) and int(width)):
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH, such as 32x32")
    return int(height), int(width)


def load_data(
    options: argparse.Namespace, announce: Callable[[str], None], origin: Mapping[str, Any] | None = None
) -> Data:
    """The data that the flags name; what ``origin`` (of an artifact's card) says where they do not.

    Raises:
        InputError: neither says what the data are, or they cannot be used.
    """
    if options.data is None and origin:
        resize = options.resize or (tuple(origin["resize"]) if origin.get("resize") else None)
        test = options.test or origin.get("test")
        return load(str(origin["source"]), data_dir=options.data_dir, test=test, resize=resize, announce=announce)
    if options.data is None:
        raise InputError("--data: not given, and the artifact does not say what it was made from")
    return load(options.data, data_dir=options.data_dir, test=options.test, resize=options.resize, announce=announce)
