"""What is said of files that are not read, and of what is not there."""

import sys
import time
from pathlib import Path

import pytest

from distillset.errors import InputError
from distillset.sources import hugging_face
from tests.sources.arrays import quietly


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("cifar-10-python.tar.gz", r"unpack it \(tar xf cifar-10-python\.tar\.gz\) and name the folder"),
        ("imagenette2-160.tgz", r"unpack it \(tar xf imagenette2-160\.tgz\)"),
        ("data.zip", r"unpack it \(unzip data\.zip\)"),
        ("data.7z", r"unpack it \(7z x data\.7z\)"),
        ("train.csv.gz", r"unpack it \(gunzip train\.csv\.gz\)"),
        ("mnist.pkl", r"pickles run code when they are loaded; save arrays: numpy\.savez"),
        ("mnist.pkl.gz", r"unpack it|pickles run code"),
        ("images.pt", r"save real images as arrays: numpy\.savez; synthetic ones: `read_pt"),
        ("a.tfrecord", r"save arrays with numpy\.savez"),
        ("a.beton", r"write its images to a folder for each class"),
        (
            "notes.docx",
            r"allowed are \.npz, \.safetensors, \.mat, \.h5, \.hdf5, \.hdf, \.tar, \.csv, .*idx files and folders",
        ),
    ],
)
def test_files_that_are_not_read_say_what_would_do(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=rf"a file of this kind is not read; ({told})"):
        quietly(tmp_path / name)


def test_a_hub_out_of_reach_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    for variable in ("HF_HUB_CACHE", "HF_DATASETS_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    for module in ("datasets", "huggingface_hub"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    begun = time.monotonic()
    with pytest.raises(InputError, match=r"svhn: not found .*cannot be reached.*looked for as svhn") as told:
        quietly("svhn", data_dir=tmp_path)
    assert time.monotonic() - begun < 1
    assert "datasets" not in sys.modules
    assert "\n" not in str(told.value)


def test_a_hub_that_answers_is_reachable_and_one_that_is_silent_is_waited_for_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import socket
    import threading

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert hugging_face.reachable()
        thread.join()
        monkeypatch.setattr(hugging_face, "PATIENCE", 0.1)
        assert not hugging_face.reachable()  # nobody answers now
    monkeypatch.setenv("HF_ENDPOINT", "file:///etc")
    assert not hugging_face.reachable()
