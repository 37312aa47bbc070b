"""Whatever shape, type, layout and class sizes a valid set has: pixels, labels and counts come out as they went in."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import save_file

from distillset.data import labels
from distillset.data.real import RealSet
from distillset.data.spec import Spec
from distillset.sources.load import Data, load
from distillset.watch import Watcher
from tests.sources.on_disk import channels_first, picture, write_classes, write_parquet

NAMES = ["ant", "Bee", "a b", "ü", "10", "9"]

sizes = st.sampled_from([2, 5, 6, 7, 9])  # never 1, 3 or 4, which could be channels
counts = st.lists(st.integers(2, 6), min_size=2, max_size=5)


@st.composite
def sets(draw: st.DrawFn) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pixels [N, C, H, W] and labels [N] in a mixed order."""
    many = draw(counts)
    shape = (sum(many), draw(st.sampled_from([1, 3, 4])), draw(sizes), draw(sizes))
    generator = np.random.default_rng(draw(st.integers(0, 99)))
    numbers = np.repeat(np.arange(len(many)), many)
    return generator.integers(0, 256, shape, dtype=np.uint8), generator.permutation(numbers)


def as_stored(draw: st.DrawFn, pixels: NDArray[np.uint8]) -> NDArray[Any]:
    """The same pixels in another layout and type."""
    layout = draw(st.sampled_from(["first", "last", "none"] if pixels.shape[1] == 1 else ["first", "last"]))
    stored: NDArray[Any] = pixels.transpose(0, 2, 3, 1) if layout == "last" else pixels
    stored = pixels[:, 0] if layout == "none" else stored
    kind = draw(st.sampled_from([np.uint8, np.float16, np.float32, np.float64]))
    return stored if kind is np.uint8 else (stored / 255).astype(kind)


def as_labels(draw: st.DrawFn, numbers: NDArray[np.int64]) -> NDArray[Any]:
    """The same labels in another form; names sort as their numbers do."""
    form = draw(st.sampled_from(["int64", "uint8", "int32", "column", "one-hot", "one-hot floats", "names"]))
    if form == "names":
        return np.array(sorted(NAMES)[: numbers.max() + 1])[numbers]
    if form.startswith("one-hot"):
        return np.eye(numbers.max() + 1, dtype=bool if form == "one-hot" else np.float32)[numbers]
    return numbers[:, None] if form == "column" else numbers.astype(form)


@given(sets(), st.data())
def test_any_arrays(given_set: tuple[NDArray[np.uint8], NDArray[np.int64]], data: st.DataObject) -> None:
    pixels, numbers = given_set
    real = RealSet.from_arrays(as_stored(data.draw, pixels), as_labels(data.draw, numbers))  # type: ignore[arg-type]
    assert np.array_equal(real.images.numpy(), pixels)
    assert real.labels.tolist() == numbers.tolist()
    assert real.counts.tolist() == np.bincount(numbers).tolist()
    assert real.spec.shape == pixels.shape[1:]
    scaled = pixels.astype(np.float64) / 255
    assert np.allclose(real.spec.mean, scaled.mean((0, 2, 3)), rtol=1e-12)
    assert np.allclose(real.spec.std, scaled.std((0, 2, 3)), rtol=1e-9)


def quietly(source: Any, **options: Any) -> Data:
    return load(source, watcher=Watcher(), **options)


def rows_of(*sets: RealSet) -> list[tuple[int, bytes]]:
    """Label and pixels of every image, sorted."""
    return sorted(
        (int(label), image.numpy().tobytes())
        for real in sets
        for image, label in zip(real.images, real.labels, strict=True)
    )


@settings(max_examples=30)
@given(sets(), st.data())
def test_any_file_of_arrays_and_the_cache(
    given_set: tuple[NDArray[np.uint8], NDArray[np.int64]], data: st.DataObject
) -> None:
    pixels, numbers = given_set
    stored, given_labels = as_stored(data.draw, pixels), as_labels(data.draw, numbers)  # type: ignore[arg-type]
    expected = sorted((int(label), image.tobytes()) for image, label in zip(pixels, numbers, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.npz")
        if given_labels.dtype.kind != "U" and data.draw(st.booleans()):
            path = path.with_suffix(".safetensors")
            arrays = {"images": stored, "labels": given_labels}
            save_file({name: torch.from_numpy(array.copy()) for name, array in arrays.items()}, path)
        else:
            np.savez(path, images=stored, labels=given_labels)
        decoded, again = quietly(path), quietly(path)
    for found in (decoded, again):
        # every image is in one of the two parts, and of each class a fifth, rounded, is held out
        assert rows_of(found.train, found.test) == expected
        held = [min(max(1, int(0.2 * n + 0.5)), n - 1) for n in np.bincount(numbers)]
        assert found.test.counts.tolist() == held
    assert decoded.train.fingerprint() == again.train.fingerprint()
    assert decoded.train.spec == again.train.spec


@settings(max_examples=15)
@given(many=counts, size=st.tuples(st.integers(1, 9), st.integers(1, 9)), data=st.data(), table=st.booleans())
def test_any_mixture_of_grey_and_colour(
    many: list[int], size: tuple[int, int], data: st.DataObject, table: bool
) -> None:
    channels = data.draw(st.lists(st.sampled_from([1, 3, 4]), min_size=sum(many), max_size=sum(many)))
    images = [picture(n, *size, channels=c) for n, c in enumerate(channels)]
    numbers = np.repeat(np.arange(len(many)), many).tolist()
    with tempfile.TemporaryDirectory() as folder:
        names = sorted(NAMES)[: len(many)]
        if table:
            write_parquet(Path(folder, "d"), "train", images, numbers, names=names)
        else:
            write_classes(
                Path(folder, "d"),
                {name: [i for i, n in zip(images, numbers, strict=True) if n == c] for c, name in enumerate(names)},
            )
        found = quietly(Path(folder, "d"), test=Path(folder, "d")).train
    assert found.spec.class_names == tuple(names)
    assert found.counts.tolist() == many
    assert found.spec.channels == max(channels)
    for image, pixels in zip(found.images, images, strict=True):
        planes = channels_first([pixels])[0]
        colours = np.repeat(planes, 3, 0) if len(planes) == 1 and max(channels) > 1 else planes
        assert image[: len(colours)].tolist() == colours.tolist()
        assert image[len(colours) :].tolist() == np.full((max(channels) - len(colours), *size), 255).tolist()


@given(sets(), st.data())
def test_any_classes_in_any_order(given_set: tuple[NDArray[np.uint8], NDArray[np.int64]], data: st.DataObject) -> None:
    pixels, numbers = given_set
    real = RealSet.from_arrays(torch.from_numpy(pixels).permute(0, 2, 3, 1), numbers)
    order = data.draw(st.permutations(range(real.spec.classes)))
    chosen = order[: data.draw(st.integers(2, real.spec.classes))]
    found = quietly(real, test=real, classes=list(chosen))
    assert found.train.counts.tolist() == [int((numbers == c).sum()) for c in chosen]
    for label, c in enumerate(chosen):
        assert found.train.images[found.train.index(label)].tolist() == pixels[numbers == c].tolist()
    # choosing the classes of a choice is the choice
    again = quietly(found.train, test=found.test, classes=list(range(len(chosen))))
    assert again.train.fingerprint() == found.train.fingerprint()


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)),
    mean=st.floats(0, 1),
    std=st.floats(0.01, 2),
    seed=st.integers(0, 99),
)
def test_normalising_is_undone_exactly(shape: tuple[int, int, int, int], mean: float, std: float, seed: int) -> None:
    spec = Spec("x", *shape[1:], class_names=("a", "b"), mean=(mean,) * shape[1], std=(std,) * shape[1])
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    normalised = spec.normalise(pixels)
    assert torch.equal(spec.denormalise(normalised), pixels)
    exact = (pixels.double() / 255 - mean) / std
    assert torch.allclose(normalised.double(), exact, rtol=1e-5, atol=1e-5)


@given(numbers=st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_any_form_of_labels_is_the_same_labels(numbers: list[int]) -> None:
    one_hot = np.eye(5, dtype=int)[numbers].tolist()
    names = [sorted(NAMES)[number] for number in numbers]
    for values in (numbers, [[n] for n in numbers], [(n,) for n in numbers], one_hot, list(torch.tensor(numbers))):
        found, none = labels.from_values(values, None, str)
        assert (found.tolist(), none) == (numbers, None)
    found, given_names = labels.from_values(names, None, str)
    assert given_names is not None
    assert [given_names[number] for number in found.tolist()] == names
    assert list(given_names) == sorted(set(names))
    assert labels.from_values(names, sorted(NAMES), str)[0].tolist() == numbers
