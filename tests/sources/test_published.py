"""Published sets in the forms in which they are handed out: classes, counts, pixels, splits; by name and by path."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillset.errors import InputError
from distillset.sources.known import KNOWN
from distillset.sources.load import Data, load
from distillset.watch import Watcher
from tests.sources import published
from tests.sources.on_disk import channels_first, picture, png
from tests.sources.published import TEN, Pixels


def quietly(data: Any, **options: Any) -> Data:
    return load(data, watcher=Watcher(), **options)


def check(data: Data, train: Pixels, test: Pixels, names: tuple[str, ...] | None = None) -> None:
    """The pixels in their order, and labels that count through the classes."""
    train, test = (part[:, None] if part.ndim == 3 else part for part in (train, test))
    assert np.array_equal(data.train.images.numpy(), train)
    assert np.array_equal(data.test.images.numpy(), test)
    classes = len(data.train.spec.class_names)
    assert data.train.labels.tolist() == [n % classes for n in range(len(train))]
    assert data.test.labels.tolist() == [n % classes for n in range(len(train), len(train) + len(test))]
    if names is not None:
        assert data.train.spec.class_names == names


FINE = ("apple", "bed", "cup", "dog")
CIFARS: list[tuple[str, str, Callable[[Path], tuple[Pixels, Pixels]], tuple[str, ...]]] = [
    ("cifar10", "cifar-10-batches-py", published.cifar10_python, tuple(TEN)),
    ("cifar10", "cifar-10-batches-bin", published.cifar10_binary, tuple(TEN)),
    ("cifar100", "cifar-100-python", published.cifar100_python, FINE),
    ("cifar100", "cifar-100-binary", published.cifar100_binary, FINE),
]


@pytest.mark.parametrize(("name", "folder", "make", "names"), CIFARS)
def test_cifar_by_its_name_and_by_path(
    tmp_path: Path, name: str, folder: str, make: Callable[[Path], tuple[Pixels, Pixels]], names: tuple[str, ...]
) -> None:
    train, test = make(tmp_path / folder)
    data = quietly(name, data_dir=tmp_path)
    check(data, train, test, names)
    assert (data.train.spec.name, data.train.spec.mean) == (name, KNOWN[name].mean)
    assert data.notes == (f"{name}: read from {tmp_path / folder}",)
    for path in (tmp_path / folder, tmp_path):  # the folder, and the one in which it was unpacked
        data = quietly(path)
        check(data, train, test, names)
        assert data.notes == ()
        assert data.source == str(tmp_path / folder)
    assert quietly(name, data_dir=tmp_path / folder).train.fingerprint() == data.train.fingerprint()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_cifar_as_later_protocols_write_it(tmp_path: Path, protocol: int) -> None:
    train, test = published.cifar10_python(tmp_path / "c", protocol)
    check(quietly(tmp_path / "c"), train, test, tuple(TEN))


@pytest.mark.parametrize("name", ["CIFAR10", "cifar-10", "Cifar_10"])
def test_a_known_name_is_known_however_it_is_spelt(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = published.cifar10_python(tmp_path / "sets" / name)
    data = quietly(name, data_dir=tmp_path / "sets")
    check(data, train, test, tuple(TEN))
    assert (data.source, data.train.spec.mean) == ("cifar10", KNOWN["cifar10"].mean)
    # a folder of that name where the command runs is a path
    monkeypatch.chdir(tmp_path / "sets")
    assert quietly(name).train.spec.mean != KNOWN["cifar10"].mean


def test_rows_of_cifar_are_named_by_their_file(tmp_path: Path) -> None:
    published.cifar10_binary(tmp_path / "c")
    batch = tmp_path / "c" / "data_batch_3.bin"
    content = bytearray(batch.read_bytes())
    content[4 * 3073] = 99
    batch.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"data_batch_3\.bin, row 4: label 99; allowed are 0 to 9"):
        quietly(tmp_path / "c")
    batch.write_bytes(bytes(content[:-1]))
    with pytest.raises(InputError, match=r"data_batch_3\.bin: 30729 bytes; needed are 3073 for each image"):
        quietly(tmp_path / "c")
    batch.unlink()
    with pytest.raises(InputError, match=r"data_batch_3\.bin: no such file; the training images of this set lie in"):
        quietly(tmp_path / "c")


FASHION = ("T - shirt / top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


@pytest.mark.parametrize(
    ("name", "folder", "packed", "dot"),
    [
        ("mnist", "MNIST/raw", False, False),  # as torchvision leaves it
        ("mnist", "mnist", True, False),
        ("mnist", "mnist/MNIST/raw", False, False),
        ("mnist", "MNIST", False, True),  # train-images.idx3-ubyte
        ("fashion_mnist", "FashionMNIST/raw", False, False),
        ("fashion_mnist", "fashion-mnist", True, False),
        ("kmnist", "KMNIST/raw", True, False),
    ],
)
def test_idx_files_by_name_and_by_path(tmp_path: Path, name: str, folder: str, packed: bool, dot: bool) -> None:
    train, test = published.mnist(tmp_path / folder, packed, dot=dot)
    names = FASHION if name == "fashion_mnist" else tuple("0123456789")
    data = quietly(name, data_dir=tmp_path)
    check(data, train, test, names)
    assert data.train.spec.name == name
    assert data.train.spec.flip == (name == "fashion_mnist")
    top = tmp_path / folder.split("/", maxsplit=1)[0]
    file = next(path for path in (tmp_path / folder).iterdir() if "t10k" in path.name)
    for path in (tmp_path / folder, top, file):
        check(quietly(path), train, test, names)


def test_an_unpacked_idx_file_is_preferred_and_both_may_lie_there(tmp_path: Path) -> None:
    train, test = published.mnist(tmp_path / "MNIST", packed=True)
    published.mnist(tmp_path / "MNIST")
    for file in (tmp_path / "MNIST").glob("*.gz"):
        file.write_bytes(b"not read")
    check(quietly("mnist", data_dir=tmp_path), train, test)


def test_emnist_of_which_several_sets_lie_in_one_folder(tmp_path: Path) -> None:
    raw = tmp_path / "EMNIST" / "raw"
    train, test = published.mnist(raw, prefix="emnist-letters-", classes=26, first=1)
    published.mnist(raw, prefix="emnist-digits-", packed=True)
    data = quietly("emnist", data_dir=tmp_path)
    assert data.train.spec.class_names == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert data.train.labels.tolist() == [n % 26 for n in range(40)]
    assert np.array_equal(data.test.images.numpy()[:, 0], test)
    with pytest.raises(InputError, match=r"it holds 2 sets: digits, letters; name a file of one of them, such as /.*"):
        quietly(raw)
    data = quietly(raw / "emnist-digits-train-images-idx3-ubyte.gz")
    check(data, train, test, tuple("0123456789"))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\0\0\x08\x03" + struct.pack(">III", 40, 28, 28) + b"x" * 100, "cut short|its head says 31376"),
        (b"\0\0\x08\x03" + struct.pack(">III", 40, 28, 28) + b"x" * 40_000, "its head says 31376|more than 31360"),
        (b"\0\0\x08\x03" + struct.pack(">III", 2**31, 2**31, 2**31), "allowed are 1 to 4,294,967,296 values"),
        (b"\0\0\x0d\x03" + struct.pack(">III", 1, 1, 1) + b"1234", "not an idx file of unsigned bytes"),
        (b"\0\0\x08\x03\0\0", "its head is not whole"),
        (b"", "not an idx file"),
    ],
)
def test_damaged_idx_files(tmp_path: Path, content: bytes, told: str, packed: bool) -> None:
    import gzip

    published.mnist(tmp_path / "m", packed)
    file = tmp_path / "m" / ("train-images-idx3-ubyte" + (".gz" if packed else ""))
    file.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(InputError, match=rf"train-images-idx3-ubyte.*({told})"):
        quietly(tmp_path / "m")
    if packed:
        file.write_bytes(file.read_bytes()[:-6])
        with pytest.raises(InputError, match=r"train-images-idx3-ubyte\.gz"):
            quietly(tmp_path / "m")


def test_a_missing_idx_file_is_named(tmp_path: Path) -> None:
    published.mnist(tmp_path / "m")
    (tmp_path / "m" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(InputError, match=r"m: no file of the labels of test beside t10k-images-idx3-ubyte"):
        quietly(tmp_path / "m")


@pytest.mark.parametrize("folder", ["SVHN", "svhn", ""])
def test_svhn_by_name_whose_ten_is_zero(tmp_path: Path, folder: str) -> None:
    train, test = published.svhn(tmp_path / "sets" / folder, extra=True)
    data = quietly("svhn", data_dir=tmp_path / "sets")
    check(data, train, test, tuple("0123456789"))
    assert data.train.spec.mean == KNOWN["svhn"].mean
    assert data.notes[-1] == "svhn: left unused: extra"
    check(quietly(tmp_path / "sets" / folder), train, test)
    check(quietly(tmp_path / "sets" / folder / "train_32x32.mat"), train, test)


@pytest.mark.parametrize("folder", ["stl10", "stl10_binary", "STL10/stl10_binary"])
def test_stl10_is_stored_column_by_column(tmp_path: Path, folder: str) -> None:
    train, test = published.stl10(tmp_path / folder)
    for data in (quietly("stl10", data_dir=tmp_path), quietly(tmp_path / folder)):
        check(data, train, test, ("airplane", "bird"))
    (tmp_path / folder / "test_y.bin").unlink()
    with pytest.raises(InputError, match=r"test_y\.bin: no such file; the labels of test_X\.bin lie in it"):
        quietly(tmp_path / folder)
    (tmp_path / folder / "train_X.bin").write_bytes(b"x" * 1000)
    with pytest.raises(InputError, match=r"train_X\.bin: 1000 bytes; needed are 27648 for each image"):
        quietly(tmp_path / folder)


def test_emnist_s_mat_files(tmp_path: Path) -> None:
    train, test = published.emnist_mat(tmp_path / "emnist" / "matlab" / "emnist-letters.mat")
    published.emnist_mat(tmp_path / "emnist" / "matlab" / "emnist-mnist.mat", 10, 0)
    check(quietly("emnist", data_dir=tmp_path), train, test, tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    with pytest.raises(InputError, match=r"it holds 2 sets: emnist-letters\.mat, emnist-mnist\.mat; name one of them"):
        quietly(tmp_path / "emnist")
    data = quietly(tmp_path / "emnist" / "matlab" / "emnist-mnist.mat")
    assert data.train.spec.class_names == tuple("0123456789")


# --- ImageNet, Tiny ImageNet, Imagenette -----------------------------------------------------------------------------

WNIDS = ("n01440764", "n02102040", "n02979186")


def check_synsets(data: Data, flat: bool = False) -> None:
    assert data.train.spec.class_names == WNIDS
    assert data.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    seeds = [10 * label + number for label in range(3) for number in range(2)]
    assert data.train.images.tolist() == channels_first([picture(seed) for seed in seeds]).tolist()
    order = [0, 1, 2, 3, 4, 5] if flat else [0, 3, 1, 4, 2, 5]
    assert data.test.labels.tolist() == [number % 3 for number in order]
    assert data.test.images.tolist() == channels_first([picture(100 + number) for number in order]).tolist()


@pytest.mark.parametrize("inner", ["", "images"])
def test_folders_of_synsets(tmp_path: Path, inner: str) -> None:
    published.synsets(tmp_path / "imagenette2-160", WNIDS, inner)
    (tmp_path / "imagenette2-160" / "noisy_imagenette.csv").write_text(
        "path,noisy_labels_0,noisy_labels_1,is_valid\n"
        + "".join(f"train/{WNIDS[0]}/{WNIDS[0]}_{n}.JPEG,{WNIDS[1]},{WNIDS[1]},False\n" for n in range(2))
    )
    check_synsets(quietly(tmp_path / "imagenette2-160"))


def test_the_training_folder_alone(tmp_path: Path) -> None:
    published.synsets(tmp_path / "tiny-imagenet-200", WNIDS, "images")
    data = quietly(tmp_path / "tiny-imagenet-200" / "train")
    assert data.train.spec.class_names == WNIDS
    assert (len(data.train), len(data.test)) == (3, 3)
    assert "held out" in data.notes[-1]


ROWS = [(f"ILSVRC2012_val_{n + 1:08}", WNIDS[n % 3], n % 3) for n in range(6)]
LISTS = {
    "val/val_annotations.txt": "".join(f"{name}.JPEG\t{wnid}\t0\t0\t9\t9\n" for name, wnid, _ in ROWS),
    "LOC_val_solution.csv": "ImageId,PredictionString\n"
    + "".join(f"{name},{wnid} 1 2 3 4 {wnid} 5 6 7 8 \n" for name, wnid, _ in ROWS),
    "val.txt": "".join(f"{name}.JPEG {number}\n" for name, _, number in ROWS),
    "val_map.txt": "".join(f"{name}.JPEG {wnid}\n" for name, wnid, _ in ROWS),
    "imagenet_2012_validation_synset_labels.txt": "".join(f"{wnid}\n" for _, wnid, _ in ROWS),
    "val/synset_labels.txt": "".join(f"{wnid}\n" for _, wnid, _ in ROWS),
}


@pytest.mark.parametrize("val", ["flat", "images"])
@pytest.mark.parametrize("name", LISTS)
def test_flat_validation_images_by_the_list_of_their_classes(tmp_path: Path, name: str, val: str) -> None:
    published.synsets(tmp_path / "d", WNIDS, val=val)
    (tmp_path / "d" / name).write_text(LISTS[name])
    check_synsets(quietly(tmp_path / "d"), flat=True)


def test_flat_validation_images_by_the_development_kit(tmp_path: Path) -> None:
    # its numbers are not in the order of the classes: meta.mat says which is which
    published.synsets(tmp_path / "d", WNIDS, val="flat")
    kit = tmp_path / "d" / "ILSVRC2012_devkit_t12" / "data"
    kit.mkdir(parents=True)
    numbers = {WNIDS[0]: 3, WNIDS[1]: 1, WNIDS[2]: 2}
    (kit / "ILSVRC2012_validation_ground_truth.txt").write_text("".join(f"{numbers[w]}\n" for _, w, _ in ROWS))
    with pytest.raises(InputError, match=r"ground_truth\.txt: its numbers are those of meta\.mat, which is not"):
        quietly(tmp_path / "d")
    records = [
        {"ILSVRC2012_ID": np.array([[number]], np.float64), "WNID": wnid, "words": "a, b"}
        for wnid, number in numbers.items()
    ]
    (kit / "meta.mat").write_bytes(published.mat({"synsets": records}))
    check_synsets(quietly(tmp_path / "d"), flat=True)


def test_kaggle_s_imagenet(tmp_path: Path) -> None:
    published.synsets(tmp_path / "k" / "ILSVRC" / "Data" / "CLS-LOC", WNIDS, val="flat")
    test = tmp_path / "k" / "ILSVRC" / "Data" / "CLS-LOC" / "test"
    test.mkdir()
    (test / "ILSVRC2012_test_00000001.JPEG").write_bytes(png(picture(7)))
    (tmp_path / "k" / "LOC_val_solution.csv").write_text(LISTS["LOC_val_solution.csv"])
    data = quietly(tmp_path / "k")
    check_synsets(data, flat=True)
    assert data.notes[-1].endswith("left unused: test (it has no labels)")


def test_flat_validation_images_without_a_list_say_what_would_do(tmp_path: Path) -> None:
    published.synsets(tmp_path / "d", WNIDS, val="flat")
    with pytest.raises(InputError, match=r"d/val: 6 images without folders of .*val_annotations\.txt.*meta\.mat"):
        quietly(tmp_path / "d")
    for content, told in (
        (f"ILSVRC2012_val_00000001.JPEG {WNIDS[0]}\nILSVRC2012_val_00000002.JPEG n99999999\n", "line 2: .*n99999999"),
        (f"other.JPEG {WNIDS[0]}\n", "line 1: no image 'other.JPEG' among the 6"),
        ("x\n", "line 1: 'x'; needed are a file's name and one of the 3 classes"),
    ):
        (tmp_path / "d" / "val.txt").write_text(content)
        with pytest.raises(InputError, match=rf"d/val\.txt, {told}"):
            quietly(tmp_path / "d")
    (tmp_path / "d" / "val.txt").unlink()
    (tmp_path / "d" / "synset_labels.txt").write_text(f"{WNIDS[0]}\n")
    with pytest.raises(InputError, match=r"synset_labels\.txt: 1 classes for 6 images"):
        quietly(tmp_path / "d")


def test_imagenette_as_its_archive_unpacks_it_is_found_by_name(tmp_path: Path) -> None:
    from distillset.sources.imagenet import SUBSETS

    published.synsets(tmp_path / "imagenette2-160", tuple(SUBSETS["imagenette"]))
    data = quietly("imagenette", data_dir=tmp_path)
    assert data.train.spec.class_names == tuple(SUBSETS["imagenette"].values())
    assert data.train.counts.tolist() == data.test.counts.tolist() == [2] * 10
    assert data.notes[0] == (
        f"imagenette: read from {tmp_path / 'imagenette2-160'}; this copy has another split; the papers use ImageNet's "
        "own training and validation images of these classes"
    )


def test_several_sets_in_one_folder_are_named(tmp_path: Path) -> None:
    published.cifar10_binary(tmp_path / "cifar-10-batches-bin")
    published.mnist(tmp_path / "MNIST" / "raw")
    with pytest.raises(InputError, match=r"it holds 2 sets: MNIST/raw, cifar-10-batches-bin; name one of them"):
        quietly(tmp_path)
    assert len(quietly("mnist", data_dir=tmp_path).train) == 40


def test_what_names_show_is_said_before_a_folder_is_gone_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distillset.sources import cache

    def walked(path: Path) -> Any:
        raise AssertionError(path)

    monkeypatch.setattr(cache, "files_of", walked)
    published.synsets(tmp_path / "d", WNIDS, val="flat")
    with pytest.raises(InputError, match="no list of their classes"):
        quietly(tmp_path / "d")
    with pytest.raises(InputError, match=r"d/val: 6 images, but nothing says of which class each is; needed are one"):
        quietly(tmp_path / "d" / "val")
    with pytest.raises(InputError, match="no list of their classes"):
        quietly("imagenette", data_dir=_named(tmp_path, "imagenet"))


def _named(folder: Path, name: str) -> Path:
    (folder / "d").rename(folder / name)
    return folder


def test_a_list_among_many_flat_images_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distillset.sources import raw_arrays

    published.synsets(tmp_path / "d", WNIDS, val="flat")
    (tmp_path / "d" / "val" / "val.txt").write_text(LISTS["val.txt"])
    monkeypatch.setattr(raw_arrays, "MOST_NAMES", 3)
    check_synsets(quietly(tmp_path / "d"), flat=True)


PIPES = ("data_batch_1", "t10k-images-idx3-ubyte", "train_X.bin", "train_32x32.mat", "images.npy")


@pytest.mark.parametrize("name", PIPES)
def test_a_pipe_in_place_of_a_file_is_never_waited_for(tmp_path: Path, name: str) -> None:
    import os

    folder = tmp_path / "d"
    if name == "data_batch_1":
        published.cifar10_python(folder)
    elif name.startswith("t10k"):
        published.mnist(folder)
    elif name == "train_X.bin":
        published.stl10(folder)
    elif name.endswith(".mat"):
        published.svhn(folder)
    else:
        folder.mkdir()
        np.save(folder / "labels.npy", np.arange(4), allow_pickle=False)
        (folder / "images.npy").touch()
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        quietly(folder)
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        quietly(folder)
