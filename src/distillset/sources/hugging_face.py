"""Whatever Hugging Face `datasets` opens, on this disk or on the hub: only here is that package imported."""

import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from distillset.data import labels
from distillset.errors import InputError
from distillset.sources.arrow_messages import check_arrow
from distillset.sources.columns import class_names, flattened, image_reader, label_column
from distillset.sources.image_folder import TABLES, listing
from distillset.sources.known import Known
from distillset.sources.parquet_pages import Decoded, check_parquet
from distillset.sources.splits import Split

SCRIPT = "scripts are no longer supported"
"""What `datasets` says of a set that comes with a script; the hub keeps a copy of it as parquet on another branch."""

PARQUET = "refs/convert/parquet"

PATIENCE = 3.0
"""Seconds in which the hub has to answer before the search is given up; where nothing listens it takes none."""


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
    for file in sorted(path.rglob("*.parquet")):
        check_parquet(file)
    for file in sorted(path.rglob("*.arrow")):
        check_arrow(file)
    with _quiet(datasets):
        try:
            if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
                opened = datasets.load_from_disk(str(path))
            else:
                builder = _builder(datasets, path, scratch)
                _bound(builder, path)
                builder.download_and_prepare()
                opened, files = builder.as_dataset(), dict(builder.config.data_files or {})
        except Exception as error:  # whatever its readers of many formats raise
            if isinstance(bomb := _innermost(error), InputError):
                raise bomb from None
            raise InputError(
                f"{path}: cannot be opened as a data set ({_root_cause(error)}); needed are parquet or arrow files, or "
                "one sub-folder of images a class"
            ) from None
    return _splits(opened, str(path), {name: list(map(str, paths)) for name, paths in files.items()}, path)


def _builder(datasets: Any, path: Path, scratch: Path) -> Any:
    """What reads a folder. Left to itself, `datasets` takes images that a table lists for a set without labels."""
    tables = listing(path)
    if not tables:
        return datasets.load_dataset_builder(str(path), cache_dir=str(scratch))
    kind = tables[0].suffix.lower()
    tables = [table for table in tables if table.suffix.lower() == kind]
    named = {re.sub(r"\W+", "_", table.stem): str(table) for table in tables}
    files = named if len(named) > 1 else {"train": str(tables[0])}
    return datasets.load_dataset_builder(TABLES[kind], data_files=files, cache_dir=str(scratch))


def _bound(builder: Any, path: Path) -> None:
    """Make a builder count what it decodes."""
    if not hasattr(builder, "_generate_tables"):
        return
    named = dict(builder.config.data_files or {}).values()
    decoded = Decoded(path, [Path(str(file)) for files in named for file in files])
    builder._generate_tables = decoded.counted(builder._generate_tables)


def open_hub(name: str, known: Known, looked: Path | None = None) -> dict[str, Split]:
    """The splits of a known data set on the hub, downloaded into the cache of `datasets`.

    Args:
        name: of the set.
        known: where it is on the hub.
        looked: the folder of this disk in which it was looked for before; named in messages.

    Raises:
        InputError: the hub is out of reach, or has no such data set.
    """
    told = f"{name}: not found on this machine, and {known.hub} cannot be fetched from the Hugging Face hub "
    instead = f"; give --data-dir or DISTILLSET_DATA, the folder that holds {name}"
    if looked is not None:
        instead += f" (in {looked} it was looked for as {', '.join((name, *known.folders))})"
    if "datasets" not in sys.modules and "huggingface_hub" not in sys.modules and not reachable():
        if not _cached(str(known.hub)):
            raise InputError(f"{told}(it is out of reach, and nothing of this set is in its cache){instead}")
        # Otherwise half a minute of retries passes where there is no network.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    datasets = _package()
    with _quiet(datasets):
        try:
            opened = _from_hub(datasets, known)
        except Exception as error:
            raise InputError(f"{told}({_root_cause(error)}){instead}") from None
    return _splits(opened, name, {})


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
    return _splits(dataset.with_format(None), name, {})


def transformed(dataset: Any) -> bool:
    """Whether an object of `datasets` shows its rows through a function of the user's."""
    parts = dataset.values() if isinstance(dataset, dict) else [dataset]
    return any(part.format["type"] == "custom" for part in parts)


def _splits(
    opened: Any, where: str, files: Mapping[str, Sequence[str]], folder: Path | None = None
) -> dict[str, Split]:
    if not isinstance(opened, dict):
        return {"train": _split(opened, where, where, files.get("train", ()), folder)}
    return {
        str(name): _split(rows, f"{where}, split {name}", where, files.get(str(name), ()), folder)
        for name, rows in opened.items()
    }


def _split(rows: Any, name: str, where: str, files: Sequence[str], folder: Path | None) -> Split:
    rows = flattened(rows)
    pictures, label = image_reader(rows, where, folder), label_column(rows.features, where)

    def row(number: int) -> str:
        return _named_row(number, name, files)

    values = rows.select_columns([label])[:][label]
    numbers, names = labels.from_values(values, class_names(rows.features[label]), row, label)
    return Split(name, numbers, names, pictures, row)


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
