"""Whatever Hugging Face `datasets` opens, on this disk or on the hub: only here is that package imported."""

import glob
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from distillset.data import labels
from distillset.errors import InputError
from distillset.sources.arrow_messages import check_arrow
from distillset.sources.cards import Card, read_card
from distillset.sources.columns import Named, class_names, flattened, image_reader, label_column, plain_labels
from distillset.sources.data_files import check_saved, data_files
from distillset.sources.known import Known
from distillset.sources.parquet_pages import Decoded, check_parquet
from distillset.sources.splits import Split

SCRIPT = "scripts are no longer supported"
"""What `datasets` says of a set that comes with a script; the hub keeps a copy of it as parquet on another branch."""

PARQUET = "refs/convert/parquet"

PATIENCE = 3.0
"""Seconds in which the hub has to answer before the search is given up; where nothing listens it takes none."""


def open_folder(
    path: Path, scratch: Path, allow_outside: bool = False, configuration: str | None = None
) -> dict[str, Split]:
    """The splits of a local folder: what `save_to_disk` wrote, or parquet, arrow, JSON or tar files.

    Which files those are is found here, and not by patterns of `datasets` or of a card, so that nothing outside the
    folder is looked at.

    Args:
        path: the folder.
        scratch: a folder for what `datasets` writes, which may be deleted when the splits have been read.
        allow_outside: whether rows may name images outside the folder.
        configuration: which of several data sets in it.

    Raises:
        InputError: `datasets` cannot open it, or it has no image or no label column.
    """
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        for file in check_saved(path):
            check_arrow(file)
        datasets = _package()
        with _quiet(datasets), _reading(path):
            opened = datasets.load_from_disk(str(path))
        return _splits(opened, str(path), {}, Named(path, allow_outside))
    card = read_card(path, configuration)
    kind, splits, notes = data_files(path, card, configuration)
    return _open_files(kind, splits, path, Named(path, allow_outside), scratch, card, notes)


def holds_images(path: Path) -> bool:
    """Whether a parquet file has columns that may hold images, and not only text that names them."""
    from pyarrow import ArrowException, parquet, types

    try:
        schema = parquet.read_schema(path)
    except (OSError, ValueError, ArrowException):
        return True  # what reads it says why it cannot
    return any(
        types.is_nested(field.type) or types.is_binary(field.type) or types.is_large_binary(field.type)
        for field in schema
    )


def open_parquet(path: Path, scratch: Path, allow_outside: bool = False) -> dict[str, Split]:
    """The rows of one parquet file as a split; see `open_folder`."""
    return _open_files("parquet", {"train": [path]}, path, Named(path.parent, allow_outside), scratch, Card(), ())


def _open_files(
    kind: str,
    splits: Mapping[str, Sequence[Path]],
    where: Path,
    folder: Named,
    scratch: Path,
    card: Card,
    notes: Sequence[str],
) -> dict[str, Split]:
    datasets = _package()
    all_files = [file for files in splits.values() for file in files]
    for file in all_files:
        if kind == "parquet":
            check_parquet(file)
        elif kind == "arrow":
            check_arrow(file)
    escaped = {name: [glob.escape(str(file)) for file in files] for name, files in splits.items()}
    with _quiet(datasets), _reading(where):
        builder = datasets.load_dataset_builder(kind, data_files=escaped, cache_dir=str(scratch))
        if hasattr(builder, "_generate_tables"):
            builder._generate_tables = Decoded(where, all_files).counted(builder._generate_tables)
        builder.download_and_prepare()
        opened = builder.as_dataset()
    files = {name: list(map(str, paths)) for name, paths in splits.items()}
    of_files = _splits(opened, str(where), files, folder, card)
    return {name: replace(split, notes=(*split.notes, *notes)) for name, split in of_files.items()}


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever the readers of many formats in `datasets` raise, as one line."""
    try:
        yield
    except Exception as error:
        if isinstance(bomb := _innermost(error), InputError):
            raise bomb from None
        raise InputError.about(
            path,
            f"cannot be opened as a data set ({_root_cause(error)}); needed are parquet or arrow files, or "
            "one sub-folder of images per class",
        ) from None


def open_hub(name: str, known: Known, looked: Path | None = None) -> dict[str, Split]:
    """The splits of a known data set on the hub, downloaded into the cache of `datasets`.

    Args:
        name: of the set.
        known: where it is on the hub.
        looked: the folder of this disk in which it was looked for before; named in messages.

    Raises:
        InputError: the hub is out of reach, or has no such data set.
    """
    fault = f"not found on this machine, and {known.hub} cannot be fetched from the Hugging Face hub "
    instead = f"; give `data_dir` or DISTILLSET_DATA, the folder that holds {name}"
    if looked is not None:
        instead += f" (in {looked} it was looked for as {', '.join((name, *known.folders))})"
    if "datasets" not in sys.modules and "huggingface_hub" not in sys.modules and not reachable():
        if not _cached(str(known.hub)):
            raise InputError.about(
                name, f"{fault}(it cannot be reached, and nothing of this set is in its cache){instead}"
            )
        # Otherwise half a minute of retries passes where there is no network.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    datasets = _package()
    with _quiet(datasets):
        try:
            opened = _from_hub(datasets, known)
        except Exception as error:
            raise InputError.about(name, f"{fault}({_root_cause(error)}){instead}") from None
    return _splits(opened, name, {}, Named(Path(datasets.config.HF_CACHE_HOME), False))


def _from_hub(datasets: Any, known: Known) -> Any:
    try:
        return datasets.load_dataset(known.hub, known.configuration)
    except RuntimeError as error:
        if SCRIPT not in str(error):
            raise
        return datasets.load_dataset(known.hub, known.configuration, revision=PARQUET)


def open_object(dataset: Any, name: str) -> dict[str, Split] | None:
    """The splits of a `datasets.Dataset` or `DatasetDict` in memory, as they are stored; None for anything else.

    What ``with_transform`` or ``with_format`` would show is left alone: columns can be told apart only as stored.
    """
    datasets = sys.modules.get("datasets")
    if datasets is None or not isinstance(dataset, datasets.Dataset | datasets.DatasetDict):
        return None
    return _splits(dataset.with_format(None), name, {}, Named(None, True))


def transformed(dataset: Any) -> bool:
    """Whether an object of `datasets` shows its rows through a function of the user's."""
    parts = dataset.values() if isinstance(dataset, dict) else [dataset]
    return any(part.format["type"] == "custom" for part in parts)


def _splits(
    opened: Any, where: str, files: Mapping[str, Sequence[str]], named: Named, card: Card | None = None
) -> dict[str, Split]:
    if not isinstance(opened, dict):
        return {"train": _split(opened, where, where, files.get("train", ()), named, card)}
    several = len(opened) > 1 or "train" not in opened
    return {
        str(name): _split(
            rows, f"{where}, split {name}" if several else where, where, files.get(str(name), ()), named, card
        )
        for name, rows in opened.items()
    }


def _split(rows: Any, name: str, where: str, files: Sequence[str], named: Named, card: Card | None) -> Split:
    rows = flattened(rows)
    pictures = image_reader(rows, where, named)
    label = label_column(rows, where)

    def row(number: int) -> str:
        return _named_row(number, name, files)

    values = plain_labels(rows.select_columns([label])[:][label])
    stated = class_names(rows.features[label]) or (card and card.class_names(label))
    numbers, names = labels.from_values(values, stated or None, row, label)
    return Split(name, numbers, names, pictures, row, numbered=bool(stated))


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
        raise InputError.about(
            "data", "reading these needs the package datasets; install it with: pip install datasets"
        ) from None
    return datasets


@contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """Without the bars and warnings of `datasets` where nobody watches; every failure ends in one line of ours."""
    import logging

    level, hub = datasets.logging.get_verbosity(), logging.getLogger("huggingface_hub")
    before, bars = hub.level, not datasets.are_progress_bars_disabled() and not sys.stderr.isatty()
    datasets.logging.set_verbosity(logging.CRITICAL)  # it logs errors before it raises them
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


def reachable() -> bool:
    """Whether the hub answers at all, within `PATIENCE` seconds, through a proxy where there is one."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return False
    answered: list[bool] = []
    asking = threading.Thread(target=lambda: answered.append(_answers()), daemon=True)
    asking.start()
    asking.join(PATIENCE)  # looking a name up has no limit of its own
    return answered == [True]


def _answers() -> bool:
    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    if urlsplit(address).scheme not in ("http", "https"):
        return False
    try:
        urlopen(Request(address, method="HEAD"), timeout=PATIENCE).close()
    except HTTPError:
        return True
    except (OSError, ValueError, HTTPException):
        return False
    return True


def _cached(hub: str) -> bool:
    """Whether the hub's caches on this disk hold something of a data set."""
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    downloads = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    prepared = Path(os.environ.get("HF_DATASETS_CACHE", home / "datasets"))
    return (downloads / f"datasets--{hub.replace('/', '--')}").is_dir() or (prepared / hub.replace("/", "___")).is_dir()


def _innermost(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _root_cause(error: BaseException) -> str:
    """The innermost message of a chain of errors, on one line."""
    error = _innermost(error)
    return " ".join(str(error).split())[:300] or type(error).__name__
