"""Every form is read back by the programs it is for."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from distillset import InputError, SyntheticSet, evaluate, load, select
from distillset.commands import main
from distillset.data.spec import Spec
from distillset.data.whiten import Whitening
from distillset.evaluation import Protocol
from distillset.export import EXPORTERS, eight_bit, export
from distillset.export.hub import push
from distillset.export.image_folder import folder_names
from distillset.export.measure import measure
from distillset.export.pixels import clipped
from distillset.watch import Watcher
from tests import toys

NAMES = ("cat", "a/../../b", "<script>dog `|`")


def make(soft: bool = False, channels: int = 3, names: tuple[str, ...] = NAMES) -> SyntheticSet:
    """Two images per class around the middle of what a picture holds, so that nothing is clipped."""
    spec = Spec("toy", channels, 8, 6, names, (0.5,) * channels, (0.25,) * channels)
    images = torch.rand(6, channels, 8, 6, generator=torch.Generator().manual_seed(3)) * 3 - 1.5
    labels = torch.arange(3).repeat_interleave(2)
    card = {"method": "dm", "settings": {"lr": 1.0}, "data": {"source": "toy", "fingerprint": "f" * 8}}
    shares = torch.nn.functional.one_hot(labels, 3).float() * 0.7 + 0.1
    return SyntheticSet(images, shares if soft else labels, spec, card)


@pytest.fixture
def quiet_datasets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    import datasets

    datasets.disable_progress_bars()
    yield datasets
    datasets.enable_progress_bars()


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_parquet_loads_with_class_names(tmp_path: Path, quiet_datasets: Any, soft: bool, channels: int) -> None:
    synthetic = make(soft, channels)
    export(synthetic, "parquet", tmp_path / "out")
    cache = str(tmp_path / "cache")
    loaded = quiet_datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=cache)
    assert loaded.features["label"].names == list(NAMES)
    assert loaded["label"] == [0, 0, 1, 1, 2, 2]
    for row, pixels in zip(loaded, synthetic.pixels, strict=True):
        found = torch.tensor(list(row["image"].tobytes()), dtype=torch.uint8).view(8, 6, channels).permute(2, 0, 1)
        assert torch.equal(found, pixels)
    if soft:
        assert loaded["soft_label"][3] == pytest.approx([0.1, 0.8, 0.1])
    # The folder is still the artifact, number for number.
    assert torch.equal(SyntheticSet.load(tmp_path / "out").images, synthetic.images)


def test_equal_class_names_are_told_apart(tmp_path: Path, quiet_datasets: Any) -> None:
    export(make(names=("bug", "bug", "cat")), "parquet", tmp_path / "out")
    loaded = quiet_datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.features["label"].names == ["0 bug", "1 bug", "2 cat"]


def test_the_artifact_s_own_folder_becomes_a_dataset(tmp_path: Path) -> None:
    folder = make().save(tmp_path / "artifact")
    before = (folder / "card.json").read_bytes()
    synthetic = SyntheticSet.load(folder)
    for _ in range(2):  # an earlier export may be replaced
        export(synthetic, "parquet", folder)
    assert (folder / "card.json").read_bytes() == before
    assert (folder / "data" / "train.parquet").is_file()
    assert (folder / "README.md").read_text().startswith("---\npretty_name: ")


def test_pictures_of_an_earlier_set_go_when_a_new_one_is_saved(tmp_path: Path) -> None:
    export(make(), "parquet", tmp_path / "out")
    make(channels=1).save(tmp_path / "out")
    assert not (tmp_path / "out" / "data" / "train.parquet").exists()


def test_hostile_names_stay_inside_the_folder(tmp_path: Path) -> None:
    export(make(), "imagefolder", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0-cat", "1-a_.._.._b", "2-_script_dog ___"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    picture = Image.open(tmp_path / "out" / "0-cat" / "00001.png")
    assert torch.tensor(list(picture.tobytes())).view(8, 6, 3).permute(2, 0, 1).equal(make().pixels[1].long())


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["ant", "bee"], ["ant", "bee"]),
        (["bee", "ant"], ["0-bee", "1-ant"]),
        ([str(i) for i in range(11)], [f"{i:02}-{i}" for i in range(11)]),
        (["Ant", "ant"], ["0-Ant", "1-ant"]),
        (["..", ".."], ["0-", "1-"]),
    ],
)
def test_folders_sort_as_the_labels_do(names: list[str], expected: list[str]) -> None:
    assert folder_names(names) == expected
    assert sorted(expected) == expected


def test_a_folder_comes_back_as_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILLSET_CACHE", str(tmp_path / "cache"))
    synthetic = make()
    export(synthetic, "imagefolder", tmp_path / "out")
    data = load(tmp_path / "out", test=tmp_path / "out", watcher=Watcher())
    assert torch.equal(data.train.images, synthetic.pixels)
    assert torch.equal(data.train.labels, synthetic.labels)


def test_eight_bits_and_what_they_clip() -> None:
    """Pixels 0.5 + 0.25 x: x = 0.01 is 128.1 of 255, x = 2.5 is beyond white and becomes 2."""
    synthetic = make()
    images = torch.full_like(synthetic.images, 0.01)
    images[0, 0, 0, 0] = 2.5
    rounded = eight_bit(replace(synthetic, images=images))
    assert float(rounded.images[0, 0, 0, 0]) == pytest.approx(2.0)
    assert float(rounded.images[0, 0, 0, 1]) == pytest.approx((128 / 255 - 0.5) / 0.25, abs=1e-5)
    assert clipped(replace(synthetic, images=images)) == pytest.approx(1 / images.numel())
    assert clipped(synthetic) == 0.0
    assert torch.equal(rounded.pixels, replace(synthetic, images=images).pixels)


def test_whitened_sets_go_through_their_own_space(tmp_path: Path) -> None:
    """With W = 2 I and mean 0.5 a pixel p is stored as 2 (p - 0.5): 1.0 is white, 1.2 is beyond it."""
    size = 3 * 8 * 6
    whitening = Whitening(2 * torch.eye(size), torch.full((size,), 0.5))
    images = torch.full((6, 3, 8, 6), 0.2)
    images[0, 0, 0, 0] = 1.2
    synthetic = replace(make(), images=images, whitening=whitening)
    assert clipped(synthetic) == pytest.approx(1 / images.numel())
    rounded = eight_bit(synthetic)
    assert float(rounded.images[0, 0, 0, 0]) == pytest.approx(1.0)
    assert float(rounded.images[0, 0, 0, 1]) == pytest.approx(2 * (153 / 255 - 0.5), abs=1e-6)  # 0.6 of 255
    export(synthetic, "parquet", tmp_path / "out")
    assert torch.equal(SyntheticSet.load(tmp_path / "out").images, images)


def test_measuring_trains_on_the_pictures() -> None:
    """Real images lose nothing; of brighter ones less is left, and it is that what the second row trains on."""
    data = toys.toy_data(noise=200)
    synthetic = select(data, "random", 2)
    beyond = replace(synthetic, images=synthetic.images + 2.0)
    short = Protocol(epochs=30)
    options: dict[str, Any] = {"network": toys.NETWORK, "repeats": 2, "protocol": short, "machine": toys.EAGER}
    same = measure(synthetic, data, **options)
    assert same["lost"] == 0.0
    assert same["rows"]["as learned"]["accuracies"] == same["rows"]["8-bit"]["accuracies"]
    other = measure(beyond, data, **options)
    training: dict[str, Any] = {
        "networks": (toys.NETWORK,),
        "repeats": 2,
        "protocol": short,
        "beside": (),
        "machine": toys.EAGER,
    }
    means = [evaluate(found, data, **training)[0].mean for found in (beyond, eight_bit(beyond))]
    assert [row["mean"] for row in other["rows"].values()] == means
    assert other["lost"] == means[0] - means[1] != 0
    assert (other["network"], other["n"], other["protocol"]) == (toys.NETWORK, 2, "dm-30-epochs")


def test_the_card_tells_what_was_measured(tmp_path: Path, toy_npz: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = select(load(toy_npz, watcher=Watcher()), "random", 2).save(tmp_path / "artifact")
    fast = ["--network", toys.NETWORK, "--repeats", "2", "--epochs", "3", "--device", "cpu", "--compile", "off"]
    assert main(["export", str(folder), "--to", "parquet", "--out", str(tmp_path / "out"), "--measure", *fast]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{tmp_path / 'out'}: 6 images as parquet\n"
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Lost by rounding: 0.0 points" in card  # real images are 8-bit already
    assert "protocol dm-3-epochs, over 2 networks" in card
    assert "% as 8-bit pictures" in shown.err


def test_the_card_cannot_be_broken_out_of(tmp_path: Path) -> None:
    import yaml

    spec = replace(make().spec, name="x\n---\n# <b>`hi` | there")
    export(replace(make(), spec=spec), "parquet", tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    _, head, body = card.split("\n---\n" if card.startswith("\n---\n") else "---\n", 2)
    assert yaml.safe_load(head)["configs"][0]["data_files"] == [{"split": "train", "path": "data/train.parquet"}]
    assert "# 6 images for x --- # ‹b›'hi' / there" in body


@pytest.mark.parametrize("to", EXPORTERS)
def test_nothing_of_the_user_s_is_overwritten(to: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="not an empty folder"):
        export(make(), to, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("to", ["imagefolder", "parquet"])
def test_what_is_no_picture_is_refused(to: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="images of 2 channels; a picture has 1, 3 or 4"):
        export(make(channels=2), to, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


class FakeHub:
    """Remembers what it was given, as the hub would have it."""

    def __init__(self, fail: Exception | None = None) -> None:
        self.fail = fail
        self.calls: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}

    def create_repo(self, repo_id: str, **more: Any) -> str:
        self.calls.append({"repo": repo_id, **more})
        return f"https://huggingface.co/datasets/{repo_id}"

    def upload_folder(self, *, repo_id: str, folder_path: str, allow_patterns: list[str], **more: Any) -> None:
        if self.fail:
            raise self.fail
        from huggingface_hub.utils._paths import filter_repo_objects

        names = [path.relative_to(folder_path).as_posix() for path in Path(folder_path).rglob("*") if path.is_file()]
        kept = filter_repo_objects(names, allow_patterns=allow_patterns)
        self.files = {name: (Path(folder_path) / name).read_bytes() for name in kept}


def test_push_uploads_the_artifact_and_its_pictures_only(tmp_path: Path) -> None:
    folder = make().save(tmp_path / "artifact")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "step-1.safetensors").write_bytes(b"private")
    hub = FakeHub()
    assert push(folder, "me/toy", private=True, api=hub) == "https://huggingface.co/datasets/me/toy"
    assert hub.calls == [{"repo": "me/toy", "repo_type": "dataset", "private": True, "exist_ok": True}]
    assert set(hub.files) == {"README.md", "data/train.parquet", "synthetic.safetensors", "card.json", "grid.png"}
    assert json.loads(hub.files["card.json"]) == json.loads((folder / "card.json").read_text())
    assert not (folder / "data").exists()


def test_a_hub_that_refuses_is_one_line(tmp_path: Path) -> None:
    folder = make().save(tmp_path / "artifact")
    with pytest.raises(InputError, match=r"repo='me/toy': not uploaded \(ConnectionError: no route\)") as caught:
        push(folder, "me/toy", api=FakeHub(ConnectionError("no route\nmore\nlines")))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["export", "ARTIFACT", "--to", "pt", "--out", "OUT", "--measure"], "--measure: needs --to parquet"),
        (["export", "ARTIFACT", "--to", "zip", "--out", "OUT"], "--to zip: choose one of "),
        (["export", "./nowhere", "--to", "pt", "--out", "OUT"], "no such folder"),
        (["push", "./nowhere", "--repo", "me/toy"], "no such folder"),
    ],
)
def test_wrong_input_is_one_line(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make().save(tmp_path / "artifact")
    given = {"ARTIFACT": str(folder), "OUT": str(tmp_path / "out")}
    try:
        code: object = main([given.get(argument, argument) for argument in arguments])
    except SystemExit as usage:
        code = usage.code
    assert code == 2
    shown = capsys.readouterr()
    assert told in shown.err
    assert shown.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_exporting_needs_no_more_than_it_uses() -> None:
    """Neither `datasets` nor Pillow is imported before something is exported."""
    script = "import sys, distillset.export; sys.exit(bool({'datasets', 'PIL', 'pyarrow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
