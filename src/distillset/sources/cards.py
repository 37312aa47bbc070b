"""The card of a data set repository, README.md: which files are which split, and what the numbers of a column mean."""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distillset.errors import InputError

LARGEST = 2**22


@dataclass(frozen=True)
class Card:
    """What a card says.

    Args:
        patterns: split to patterns of paths relative to the folder; empty where it says none.
        features: as `datasets` describes columns in YAML; empty where it says none.
    """

    patterns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    features: Sequence[Mapping[str, Any]] = ()

    def splits(self, files: Sequence[str]) -> dict[str, list[str]]:
        """Split to files, of paths relative to the folder."""
        splits = {
            name: [file for file in files if any(_fits(file, pattern) for pattern in patterns)]
            for name, patterns in self.patterns.items()
        }
        return {name: chosen for name, chosen in splits.items() if chosen}

    def class_names(self, column: str) -> list[str] | None:
        """The names of the classes in a column of numbers, where the card gives them."""
        for feature in self.features:
            if feature.get("name") != column:
                continue
            kind = feature.get("dtype")
            names = kind.get("class_label", {}).get("names") if isinstance(kind, Mapping) else None
            if isinstance(names, Mapping):
                names = [names.get(str(number), names.get(number)) for number in range(len(names))]
            if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
                return names
        return None


def read_card(folder: Path, configuration: str | None = None) -> Card:
    """The card in a folder; an empty one where there is none, or where it cannot be read.

    Raises:
        InputError: it names files outside the folder, or several data sets and none is chosen.
    """
    import yaml

    path = folder / "README.md"
    try:
        if path.stat().st_size > LARGEST:
            return Card()
        text = path.read_text(encoding="utf-8")
        parts = text.split("---", 2)
        fields = yaml.safe_load(parts[1]) if text.startswith("---") and len(parts) == 3 else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError):
        return Card()
    if not isinstance(fields, dict):
        return Card()
    configs = _chosen(fields.get("configs"), configuration, path)
    infos = fields.get("dataset_info")
    info = _chosen([infos] if isinstance(infos, dict) else infos, configuration, path, several=True)
    features = info.get("features")
    listed = features if isinstance(features, list) else []
    return Card(_patterns(configs.get("data_files"), path), [row for row in listed if isinstance(row, dict)])


def _chosen(listed: Any, configuration: str | None, path: Path, several: bool = False) -> Mapping[str, Any]:
    if not isinstance(listed, list):
        return {}
    rows = [row for row in listed if isinstance(row, dict)]
    if len(rows) > 1:
        named = [row for row in rows if row.get("config_name") == configuration]
        rows = named or [row for row in rows if row.get("default") or row.get("config_name") == "default"]
    if not rows and listed and not several:
        names = ", ".join(str(row.get("config_name"))[:40] for row in listed[:8] if isinstance(row, dict))
        raise InputError.about(path, f"several data sets: {names}; give the folder of one of them, or its files")
    return rows[0] if rows else {}


def _patterns(entries: Any, path: Path) -> dict[str, list[str]]:
    """Split to patterns.

    Raises:
        InputError: one leads outside the folder.
    """
    if isinstance(entries, str):
        entries = [entries]
    if isinstance(entries, list) and all(isinstance(item, str) for item in entries):
        entries = [{"split": "train", "path": entries}]
    patterns: dict[str, list[str]] = {}
    for row in entries if isinstance(entries, list) else ():
        if not isinstance(row, dict):
            continue
        paths = row.get("path")
        patterns[str(row.get("split", "train"))] = [
            str(item) for item in (paths if isinstance(paths, list) else [paths])
        ]
    for pattern in (pattern for listed in patterns.values() for pattern in listed):
        if pattern.startswith(("/", "~")) or "://" in pattern or ".." in Path(pattern).parts:
            raise InputError.about(
                path, f"its data_files name {pattern[:200]!r}; only files in the folder itself are read"
            )
    return patterns


def _fits(file: str, pattern: str) -> bool:
    pattern = pattern.removeprefix("./")
    return fnmatch.fnmatchcase(file, pattern) or fnmatch.fnmatchcase(file, pattern.replace("**/", ""))
