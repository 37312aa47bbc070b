"""Cut a data set into ``.safetensors`` shards of whole pixels, to be carried to a machine that has only PyTorch.

    python tools/shard.py cifar10 --out shards [--data-dir DIR] [--megabytes 50]

There ``--data cifar10 --data-dir shards`` (or DISTILLSET_DATA) finds them; the set is the same, to its fingerprint.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from distillset.errors import DistillsetError
from distillset.sources.array_files import CLASS_NAMES
from distillset.sources.load import Data, load
from distillset.store import write_atomically


def write_shards(data: Data, name: str, out: Path, megabytes: float = 50.0) -> list[Path]:
    """Write ``out/NAME-00001-of-000NN.safetensors`` and so on, none larger than ``megabytes`` (of 10^6 bytes)."""
    arrays = {
        "images": data.train.images,
        "labels": data.train.labels,
        "test_images": data.test.images,
        "test_labels": data.test.labels,
    }
    header = {CLASS_NAMES: json.dumps(list(data.train.spec.class_names))}
    room = megabytes * 1e6 - 10_000 - len(header[CLASS_NAMES])  # the file's own header
    total = sum(tensor.numel() * tensor.element_size() for tensor in arrays.values())
    row = sum(
        tensor[:1].numel() * tensor.element_size() for tensor in arrays.values()
    )  # rounding adds at most one of each
    count = max(1, -(-total // max(1, int(room - row))))
    cut = {array: torch.tensor_split(tensor, count) for array, tensor in arrays.items()}
    paths = []
    for part in range(count):
        shard = {array: tensors[part].contiguous().clone() for array, tensors in cut.items()}
        path = out / f"{name}-{part + 1:05}-of-{count:05}.safetensors"
        write_atomically(path, lambda temporary, shard=shard: save_file(shard, temporary, metadata=header))  # type: ignore[misc]
        paths.append(path)
    return paths


def main() -> int:
    """Read the arguments and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="whatever `distillset distill --data` takes")
    parser.add_argument("--name", help="of the shards (default: that of the data)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--megabytes", type=float, default=50.0)
    options = parser.parse_args()
    try:
        data = load(options.data, data_dir=options.data_dir)
    except DistillsetError as error:
        print(f"shard: {error}", file=sys.stderr)
        return error.exit_code
    for path in write_shards(data, options.name or data.train.spec.name, options.out, options.megabytes):
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
