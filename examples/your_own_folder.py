"""Your own images: a folder with a sub-folder for each class becomes a distilled set, its accuracy and a report.

    python examples/your_own_folder.py my-photos --ipc 5 --resize 32 --out runs/photos

Without a folder it first makes one, of the digits.
"""

import argparse
import json
from pathlib import Path

import distillset as ds
from distillset.export import export
from distillset.report import report


def main() -> list[ds.Row]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="folder of images with one sub-folder per class")
    parser.add_argument("--out", type=Path, default=Path("runs/your-own-folder"))
    parser.add_argument("--ipc", type=int, default=5)
    parser.add_argument("--resize", type=int, help="resize every image to a square with this side")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=100)
    options = parser.parse_args()

    folder = options.folder or some_folder(options.out.with_name(f"{options.out.name}-images"))
    # A test set is looked for in a split called test; without one a fifth of every class is held out, and said.
    data = ds.load(folder, resize=(options.resize, options.resize) if options.resize else None)
    synthetic = ds.distill(data, ds.DM(), ipc=options.ipc, steps=options.steps, out=options.out)
    rows = ds.evaluate(
        synthetic, data, artifact=str(options.out), repeats=2, protocol=ds.Protocol(epochs=options.epochs)
    )
    for row in rows:
        print(f"{row.artifact}: {row.mean:.1%} (± {row.std:.1%}, {row.n} networks)")
    (options.out / "accuracy.json").write_text(json.dumps([row.to_json() for row in rows]))
    print("the report:", report([options.out], options.out / "report.html"))
    return rows


def some_folder(folder: Path) -> Path:
    """Forty real digits a class as PNG files, for whoever has no folder at hand."""
    if not folder.exists():
        export(ds.select(ds.load("digits"), "random", 40), "imagefolder", folder)
    return folder


if __name__ == "__main__":
    main()
