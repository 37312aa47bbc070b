"""Learning classes as they arrive, with a memory of a few images per class: chosen at random, or distilled.

    python examples/continual_learning.py

The digits come two classes at a time. When new ones come the images of earlier ones are gone, but for the memory of
them; a network trained on the memory alone is tested on every class seen so far. The study keeps all it makes in
``runs/continual-learning`` and goes on there where it was stopped.
"""

import argparse
from collections.abc import Mapping, Sequence

import distillset as ds
from distillset.studies import Point, continual


def main() -> Mapping[str, Sequence[Point]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ipc", type=int, default=1, help="images per class in the memory")
    parser.add_argument("--steps", type=int, default=100, help="steps of each distillation")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--orders", type=int, default=2, help="number of class orders")
    options = parser.parse_args()

    points = continual(
        ds.load("digits"),
        ["random", "dm"],
        "runs/continual-learning",
        steps=5,
        ipc=options.ipc,
        seeds=range(options.orders),
        distill_steps=options.steps,
        repeats=1,
        protocol=ds.Protocol("dm", epochs=options.epochs),
    )
    curves = {name: [point for point in points if point.memory == name] for name in ("random", "dm")}
    print("classes seen  " + "  ".join(f"{name:>14}" for name in curves))
    for row in zip(*curves.values(), strict=True):
        print(f"{row[0].classes:>12}  " + "  ".join(f"{point.mean:>7.1%} +-{point.std:>5.1%}" for point in row))
    return curves


if __name__ == "__main__":
    main()
