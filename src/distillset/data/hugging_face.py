"""Whatever Hugging Face `datasets` opens, on this disk or on the hub: only here is that package imported."""

import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import Tensor

from distillset.data.known import Known
from distillset.data.splits import Picture, Split
from distillset.errors import InputError

IMAGE_NAMES = ("image", "img")
LABEL_NAMES = ("label", "labels", "fine_label", "class", "target")
"""Columns preferred where several have the type of an image or of a label."""


def open_folder(path: Path, scratch: Path) -> dict[str, Split]:
    """The splits of a local folder.

    Args:
        path: parquet files, a `save_to_disk` folder, a script-free data set repository, ...
        scratch: a folder for what `datasets` writes, which may be deleted when the splits have been read.

    Raises:
        InputError: `datasets` cannot open it, or it has no image or no label column.
    """
    datasets = _package()
    files: dict[str, Sequence[Any]] = {}
    with _quiet(datasets):
        try:
            if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
                opened = datasets.load_from_disk(str(path))
            else:
                builder = datasets.load_dataset_builder(str(path), cache_dir=str(scratch))
                builder.download_and_prepare()
                opened, files = builder.as_dataset(), dict(builder.config.data_files or {})
        except Exception as error:  # whatever its readers of many formats raise
            raise InputError(
                f"{path}: cannot be opened as a data set ({_root_cause(error)}); needed are parquet or arrow files, or "
                "one sub-folder of images a class"
            ) from None
    return _splits(opened, str(path), {name: list(map(str, paths)) for name, paths in files.items()})


def open_hub(name: str, known: Known) -> dict[str, Split]:
    """The splits of a known data set on the hub, downloaded into the cache of `datasets`.

    Raises:
        InputError: the hub is out of reach, or has no such data set.
    """
    if "datasets" not in sys.modules and "huggingface_hub" not in sys.modules and _offline():
        # Otherwise half a minute of retries passes where there is no network; what the cache holds is found anyway.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    datasets = _package()
    with _quiet(datasets):
        try:
            opened = datasets.load_dataset(known.hub, known.configuration)
        except Exception as error:
            raise InputError(
                f"{name}: not found on this machine, and {known.hub} cannot be fetched from the Hugging Face hub "
                f"({_root_cause(error)}); give --data-dir or DISTILLSET_DATA, the folder that holds {name}"
            ) from None
    return _splits(opened, name, {})


def open_object(dataset: Any, name: str) -> dict[str, Split] | None:
    """The splits of a `datasets.Dataset` or `DatasetDict` in memory; None for anything else."""
    datasets = sys.modules.get("datasets")
    if datasets is None or not isinstance(dataset, datasets.Dataset | datasets.DatasetDict):
        return None
    return _splits(dataset, name, {})


def _splits(opened: Any, where: str, files: Mapping[str, Sequence[str]]) -> dict[str, Split]:
    if not isinstance(opened, dict):
        return {"train": _split(opened, where, where, files.get("train", ()))}
    return {
        str(name): _split(rows, f"{where}, split {name}", where, files.get(str(name), ()))
        for name, rows in opened.items()
    }


def _split(rows: Any, name: str, where: str, files: Sequence[str]) -> Split:
    import datasets

    image, label = _image_column(rows.features, where), _label_column(rows.features, where)
    encoded = rows.select_columns([image]).cast_column(image, datasets.Image(decode=False))

    def read(start: int, stop: int) -> list[Picture]:
        return [_encoded(value) for value in encoded[start:stop][image]]

    def row(number: int) -> str:
        return _named_row(number, name, files)

    labels, class_names = _labels(rows.select_columns([label])[:][label], rows.features[label], label, row)
    return Split(name, labels, class_names, read, row)


def _encoded(value: Any) -> Picture:
    if not isinstance(value, dict):
        return None
    return value["bytes"] if value.get("bytes") is not None else Path(value["path"]) if value.get("path") else None


def _image_column(features: Mapping[str, Any], where: str) -> str:
    import datasets

    def holds_images(feature: Any) -> bool:
        if isinstance(feature, datasets.Image):
            return True
        if isinstance(feature, dict):  # what an image becomes in a parquet file whose metadata were lost
            return set(feature) == {"bytes", "path"}
        return isinstance(feature, datasets.Value) and feature.dtype in ("binary", "large_binary")

    candidates = [name for name, feature in features.items() if holds_images(feature)]
    return _chosen(candidates, IMAGE_NAMES, "image", features, where)


def _label_column(features: Mapping[str, Any], where: str) -> str:
    import datasets

    candidates = [name for name, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
    if not candidates:
        plain = {name: feature.dtype for name, feature in features.items() if isinstance(feature, datasets.Value)}
        candidates = [name for name, kind in plain.items() if kind.startswith(("int", "uint"))]
        candidates += [name for name, kind in plain.items() if kind.endswith("string") and name in LABEL_NAMES]
    return _chosen(candidates, LABEL_NAMES, "label", features, where)


def _chosen(candidates: list[str], preferred: Sequence[str], kind: str, features: Mapping[str, Any], where: str) -> str:
    for name in preferred:
        if name in candidates:
            return name
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise InputError(
            f"{where}: several columns could be the {kind}: {', '.join(candidates)}; call one of them {kind}"
        )
    columns = ", ".join(
        f"{name} ({getattr(feature, 'dtype', type(feature).__name__)})" for name, feature in features.items()
    )
    needed = "images" if kind == "image" else "class names or whole numbers, or one sub-folder of images a class"
    raise InputError(f"{where}: no {kind} column; its columns are {columns or 'none'}; needed is a column of {needed}")


def _labels(values: Sequence[Any], feature: Any, column: str, row: Any) -> tuple[Tensor, tuple[str, ...] | None]:
    for number, value in enumerate(values):
        if value is None:
            raise InputError(f"{row(number)}: no label (column {column})")
    names = getattr(feature, "names", None)
    if values and isinstance(values[0], str):
        names = sorted(set(values))
        numbers = {name: number for number, name in enumerate(names)}
        values = [numbers[value] for value in values]
    return torch.tensor(values, dtype=torch.int64), None if names is None else tuple(names)


def _named_row(number: int, name: str, files: Sequence[str]) -> str:
    """Names a row by its parquet file, counted within it, where the split is made of such files on this disk."""
    if files and all(file.endswith(".parquet") and Path(file).is_file() for file in files):
        import pyarrow.parquet

        first = 0
        for file in files:
            count = pyarrow.parquet.read_metadata(file).num_rows
            if number < first + count:
                return f"{file}, row {number - first}"
            first += count
    return f"{name}, row {number}"


def _package() -> Any:
    try:
        import datasets
    except ImportError:
        raise InputError(
            "reading this data needs the package datasets; install it with: pip install datasets"
        ) from None
    return datasets


@contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """Without the bars and warnings of `datasets` where nobody watches; every failure ends in one line of ours."""
    import logging

    level, hub = datasets.logging.get_verbosity(), logging.getLogger("huggingface_hub")
    before, bars = hub.level, not datasets.are_progress_bars_disabled() and not sys.stderr.isatty()
    datasets.logging.set_verbosity_error()
    hub.setLevel(logging.ERROR)
    if bars:
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(level)
        hub.setLevel(before)
        if bars:
            datasets.enable_progress_bars()


def _offline() -> bool:
    if any(name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name in os.environ):
        return False
    try:
        socket.getaddrinfo(urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co")).hostname, 443)
    except OSError:
        return True
    return False


def _root_cause(error: BaseException) -> str:
    """The innermost message of a chain of errors, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:300] or type(error).__name__
