"""A folder that `datasets.load_dataset` opens, and that is still the artifact: nothing is lost by passing it on."""

import json
from pathlib import Path
from typing import Any

import torch

from distillset.data.grid import GRID
from distillset.data.origin import in_words, without_paths
from distillset.data.synthetic import EXPORTED, SyntheticSet, inline
from distillset.data.synthetic import versions as made_by
from distillset.errors import InputError
from distillset.export.pixels import clipped, pngs
from distillset.store import write_atomically, write_text


def write_parquet(synthetic: SyntheticSet, out: Path, measured: dict[str, Any] | None = None) -> list[str]:
    """Write ``out/data/train.parquet`` (columns ``image`` and ``label``, with soft labels also ``soft_label``), the
    artifact itself, and a dataset card that ties them together.

    Args:
        synthetic: the set.
        out: a folder.
        measured: rows of the evaluation before and after rounding, as `measure` gives them.

    Raises:
        InputError: `datasets` is not installed, or the images are no pictures.
    """
    table = _table(synthetic)
    synthetic.save(out)
    import pyarrow.parquet as pq

    write_atomically(out / EXPORTED, lambda temporary: pq.write_table(table, temporary))
    write_text(out / "README.md", dataset_card(synthetic, measured))
    notes = [f"{100 * clipped(synthetic):.1f}% of the numbers lie outside of what 8 bits can hold and are clipped"]
    return notes if measured else [*notes, "how much accuracy this costs is not measured; `measure` does it"]


def _table(synthetic: SyntheticSet) -> Any:
    try:
        import pyarrow as pa
        from datasets import ClassLabel, Features, Image, Sequence, Value
    except ImportError:
        raise InputError.about("export", "datasets is not installed; pip install datasets") from None
    names = synthetic.spec.class_names
    if len(set(names)) < len(names):
        names = tuple(f"{label} {name}" for label, name in enumerate(names))
    columns: dict[str, Any] = {
        "image": [{"bytes": png, "path": None} for png in pngs(synthetic)],
        "label": synthetic.classes.tolist(),
    }
    features = {"image": Image(), "label": ClassLabel(names=list(names))}
    if synthetic.labels.dim() == 2:
        columns["soft_label"] = synthetic.labels.tolist()
        features["soft_label"] = Sequence(Value("float32"), length=synthetic.spec.classes)
    for name, kind in (("rows", "int64"), ("files", "string")):
        column = (synthetic.card.get("real") or {}).get(name)
        if isinstance(column, list) and len(column) == len(synthetic):
            columns[f"real_{name[:-1]}"], features[f"real_{name[:-1]}"] = column, Value(kind)
    return pa.Table.from_pydict(columns, schema=Features(features).arrow_schema)


def dataset_card(synthetic: SyntheticSet, measured: dict[str, Any] | None) -> str:
    """``README.md``: what the hub reads at its top, what a person wants to know below."""
    import yaml

    spec, card, count = synthetic.spec, without_paths(synthetic.card), len(synthetic)
    head = {
        "pretty_name": f"{inline(spec.name)}, distilled to {synthetic.ipc} images per class",
        "task_categories": ["image-classification"],
        "tags": ["dataset-distillation", "distillset"],
        "size_categories": ["n<1K" if count < 1000 else "1K<n<10K" if count < 10_000 else "10K<n<100K"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": EXPORTED}]}],
    }
    data, versions = card.get("data") or {}, card.get("versions") or made_by()
    method, source = inline(card.get("method") or "unknown"), inline(data.get("source") or "unknown")
    by, made_from = inline(versions.get("distillset", "unknown")), inline(data.get("fingerprint") or "unknown")
    settings = _printable(json.dumps(card.get("settings") or {}, indent=2, ensure_ascii=False))
    return f"""---
{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---

# {count} images for {inline(spec.name)}

![the images, a row per class]({GRID})

{count} images, at most {synthetic.ipc} per class, made to stand in for a whole training set. Made by distillset
{by}: method `{method}`, from `{source}`.

## Loading

The pictures, rounded to 8 bits, with class names:

```python
from datasets import load_dataset

pictures = load_dataset("path/to/this/folder", split="train")
```

The exact numbers, as they were learned:

```python
import distillset as ds

dataset = ds.SyntheticSet.load("path/to/this/folder").dataset()
```

They are normalised with mean {_numbers(spec.mean)} and standard deviation {_numbers(spec.std)} of pixels in [0, 1].

## What rounding costs

{_cost(synthetic, measured)}

## How it was made

```json
{settings}
```

{_real(card)}Fingerprint of the data `{made_from}`, of the artifact `{synthetic.fingerprint()}`.
"""


def _printable(text: str) -> str:
    """Without characters that reorder those around them; those of control are escapes in JSON anyway."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def _real(card: dict[str, Any]) -> str:
    """Which real images these are or were learned from, where that is known."""
    lines = [f"- {inline(words)}: {inline(some)}" for words, some in in_words(card.get("real")).items()]
    where = "All are in `card.json`, in the field `real`; an image's own in the columns `real_row` and `real_file`."
    return "\n".join([*lines, "", where, "", ""]) if lines else ""


def _cost(synthetic: SyntheticSet, measured: dict[str, Any] | None) -> str:
    share = f"{100 * clipped(synthetic):.1f}% of the numbers lie outside of what 8 bits can hold and are clipped."
    if measured is None:
        return f"{share} The accuracy that this costs was not measured."
    lines = [
        f"{share} Test accuracy of {inline(measured['network'])}, protocol {inline(measured['protocol'])}, over "
        f"{measured['n']} networks:",
        "",
        "| images | accuracy % |",
        "|---|---|",
        *(f"| {name} | {100 * row['mean']:.1f} ± {100 * row['std']:.1f} |" for name, row in measured["rows"].items()),
        "",
        f"Lost by rounding: {100 * measured['lost']:.1f} points. Protocol: "
        + ", ".join(f"{name} {value}" for name, value in measured["recipe"].items()) + ".",
    ]  # fmt: skip
    return "\n".join(lines)


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4f}" for value in torch.tensor(values).tolist())
