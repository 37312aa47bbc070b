"""Attacks by what a user takes from elsewhere: folders, tables, arrays, .pt files, half-decoded caches, and names."""

import io
import json
import os
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import distillset
from distillset.data.synthetic import SyntheticSet
from distillset.watch import Watcher
from tests.bad_input.case import EAGER
from tests.export import pt_file
from tests.faults.attacks.arena import Arena, Attack
from tests.faults.attacks.mutate import JSON, corrupted, mutated, resealed

NAMES = (
    "\x1b[2J\x1b[31mred\x07", "<script>alert(1)</script>", "\u202eevil", "..", "../x", "/etc/passwd", "a\nb", "`|![x](http://e)",
    "\x9b31m", "con", "-rf", "$(id)", "{{7*7}}", "{% raw %}", "<img src=x onerror=y>", "é" * 120, "\u2066x\u2069",
    " ", ".", "~root",
    "a\tb", "%00", "x" * 250, "\u2028", "|", "](javascript:x)", "0", "\U000e0041", "&lt;b&gt;",
)  # fmt: skip
"""Names of classes and folders: control codes of terminals, markup, paths."""


def _selecting(arena: Arena, source: Path | str, *more: str) -> list[str]:
    out = str(arena.work / "out")
    return ["select", "random", f"--data={source}", "--out", out, "--ipc", "1", *more, *EAGER]


def sources(arena: Arena, draw: random.Random) -> Attack:
    """A folder of pictures with something in it that is none, or that leads away."""
    folder = arena.copy("pictures")
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    where = draw.choice(classes)
    picture = draw.choice(sorted(where.iterdir()))
    content = picture.read_bytes()
    what = draw.choice(("corrupted", "kind", "size", "link", "pipe", "folder", "empty", "name", "class", "device"))
    if what == "corrupted":
        picture.write_bytes(corrupted(draw, content))
    elif what == "kind":
        image = Image.open(io.BytesIO(content))
        mode, kind = draw.choice(
            (("1", "PNG"), ("I;16", "PNG"), ("CMYK", "TIFF"), ("F", "TIFF"), ("P", "GIF"), ("RGBA", "WEBP"))
        )
        data = io.BytesIO()
        (image.convert("RGB").convert(mode) if mode != "I;16" else Image.new("I;16", image.size, 9)).save(data, kind)
        picture.write_bytes(corrupted(draw, data.getvalue()) if draw.random() < 0.5 else data.getvalue())
    elif what == "size":
        data = io.BytesIO()
        Image.new("RGB", draw.choice(((1, 1), (9, 8), (8, 9), (5000, 1), (1, 5000)))).save(data, "PNG")
        picture.write_bytes(data.getvalue())
    elif what in ("link", "device"):
        targets = {"link": "nowhere", "device": "/dev/zero"}
        picture.unlink()
        picture.symlink_to(targets[what])
    elif what == "pipe":
        picture.unlink()
        os.mkfifo(picture)
    elif what == "folder":
        picture.unlink()
        picture.mkdir()
    elif what == "empty":
        for path in where.iterdir():
            path.unlink()
    else:
        name = draw.choice(NAMES).replace("/", "_")
        target = picture if what == "name" else where
        if name not in (".", "..") and len(os.fsencode(name)) < 250:
            target.rename(target.with_name(name))
    more = draw.choice(
        ((), ("--resize", "8x8"), ("--resize", "4x4", "--crop"), ("--test", str(arena.input("toy.npz"))))
    )
    return Attack(f"select from pictures, {what}", _selecting(arena, folder, *more))


def tables(arena: Arena, draw: random.Random) -> Attack:
    """A table that names files it has no business with, or is none."""
    folder = arena.copy("table")
    table = folder / "labels.csv"
    lines = table.read_text().splitlines()
    row = draw.randrange(1, len(lines))
    outside = draw.choice((
        str(arena.outside / "secret.txt"), "../../outside/secret.txt", "/dev/zero", "/etc/passwd",
            "images/../../../outside/secret.txt",
        "~/.netrc", "nowhere.png", "", "images", ".", "pipe.png", "http://127.0.0.1:9/x.png", "file:///etc/passwd", "s3://x/y.png",
        "zip://x.png::a.zip",
    ))  # fmt: skip
    what = draw.choice(("path", "path", "label", "header", "row", "corrupted", "kind"))
    if what == "path":
        lines[row] = f"{outside},kind 1"
        os.mkfifo(folder / "pipe.png")
    elif what == "label":
        lines[row] = f"images/0.png,{draw.choice((*NAMES, '', 'nan', '1e400', '-1', '1.5', '9' * 400))}"
    elif what == "header":
        lines[0] = draw.choice(
            ("", "file_name", "file_name,file_name", "label,label", "x,y", "file_name,label,label", ",", "\x00,\x1b[1m")
        )
    elif what == "row":
        lines[row] = draw.choice(("", ",", ",,,,", '"', "images/0.png", "images/0.png,kind 1,more", "x" * 100_000))
    text = "\n".join(lines).encode()
    if what == "kind":
        table.unlink()
        table = folder / draw.choice(("labels.jsonl", "metadata.jsonl", "metadata.csv"))
        rows = [{"file_name": line.split(",")[0], "label": line.split(",")[1]} for line in lines[1:]]
        rows[row - 1]["file_name"] = outside
        text = (
            "\n".join(map(json.dumps, rows)).encode()
            if table.suffix == ".jsonl"
            else text.replace(b"images/1.png", outside.encode())
        )
        os.mkfifo(folder / "pipe.png")
        what = f"{table.name} with {outside[:20]}"
    table.write_bytes(corrupted(draw, text) if what == "corrupted" else text)
    return Attack(f"select from a table, {what}", _selecting(arena, folder))


def parquets(arena: Arena, draw: random.Random) -> Attack:
    """A parquet file whose bytes were changed, or whose cells hold other things."""
    import pyarrow as pa
    import pyarrow.parquet

    folder = arena.copy("parquet")
    for path in folder.iterdir():
        if path.name != "data":
            path.unlink()
    path = next((folder / "data").glob("*.parquet"))
    if draw.random() < 0.5:
        path.write_bytes(corrupted(draw, path.read_bytes()))
        return Attack("select from parquet, bytes", _selecting(arena, folder))
    found = pa.parquet.read_table(path).to_pydict()
    image, label = (next(name for name in found if name.startswith(start)) for start in ("im", "la"))
    row = draw.randrange(len(found[label]))
    secret = str(arena.outside / "secret.txt")
    cells: list[Any] = [
        {"bytes": None, "path": secret}, {"bytes": None, "path": "/dev/zero"}, {"bytes": None,
        "path": "../../../outside/secret.txt"},
        {"bytes": None, "path": None}, {"bytes": b"", "path": None}, {"bytes": b"x", "path": secret}, None,
        {"bytes": None, "path": "http://127.0.0.1:9/x.png"}, {"bytes": None, "path": "~/.netrc"},
    ]  # fmt: skip
    if draw.random() < 0.7:
        found[image][row] = draw.choice(cells)
    else:
        found[label] = [
            draw.choice((None, -1, 2**40, 0)) if number == row else value for number, value in enumerate(found[label])
        ]
    pa.parquet.write_table(pa.Table.from_pydict(found), path)
    return Attack("select from parquet, cells", _selecting(arena, folder))


def arrays(arena: Arena, draw: random.Random) -> Attack:
    """An .npz or .safetensors file of arrays: headers, types, shapes, bytes."""
    path = arena.copy("toy.npz")
    if draw.random() < 0.35:
        path.write_bytes(corrupted(draw, path.read_bytes()))
        return Attack("select from arrays, bytes", _selecting(arena, path))
    found: dict[str, Any] = {name: value.copy() for name, value in np.load(path, allow_pickle=False).items()}
    name = draw.choice(sorted(found))
    if draw.random() < 0.4:
        header = draw.choice((b"(" * 4000, b"[" * 9000, b"{'descr': '|O', 'fortran_order': False, 'shape': (9,)}",
            b"-" * 5000,
                              b"{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999, 9)}",
                              draw.randbytes(60),
                              b"{'descr': '|u1', 'fortran_order': True, 'shape': (-4, -6)}", b"1" * 9000, b"{}",
                              b""))  # fmt: skip
        with zipfile.ZipFile(path) as archive:
            members = {member: archive.read(member) for member in archive.namelist()}
        members[f"{name}.npy"] = b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header)) + header + bytes(64)
        with zipfile.ZipFile(path, "w") as archive:
            for member, content in members.items():
                archive.writestr(member, content)
        return Attack("select from arrays, header", _selecting(arena, path), refused=True)
    value = found[name]
    kinds: list[Any] = [
        lambda: value.astype(np.float64), lambda: value.astype(np.complex64), lambda: value.astype(str),
        lambda: value > 1,
        lambda: value[:-1], lambda: value[None], lambda: value[:0], lambda: np.float32(value) * np.nan,
        lambda: value.astype(np.int64) * -1,
        lambda: value.astype(np.float16), lambda: np.array(5), lambda: value.astype("datetime64[s]"),
        lambda: value.astype("S3"),
        lambda: value.astype(np.uint64) + np.uint64(2**63), lambda: value.astype(np.float32) * 1e38,
        lambda: np.asfortranarray(value),
        lambda: value.astype(">i4"), lambda: np.zeros(3, [("a", "i4")]),
    ]  # fmt: skip
    found[name] = draw.choice(kinds)()
    if draw.random() < 0.3:
        del found[draw.choice(sorted(found))]
    np.savez(path, **found)
    return Attack("select from arrays, values", _selecting(arena, path))


def _value(draw: random.Random, deep: int = 0) -> Any:
    """What a .pt file may hold."""
    images = torch.rand(6, 3, 8, 8)
    kinds: list[Any] = [
        lambda: images.to(torch.complex64), images.to_sparse, lambda: torch.quantize_per_tensor(images, 0.1, 0,
        torch.quint8),
        lambda: images[:1].expand(6, 3, 8, 8), lambda: torch.empty(6, 3, 8, 8, device="meta"), images.half,
        lambda: images[0],
        lambda: images * float("nan"), images.double, lambda: (images * 255).to(torch.uint8),
        lambda: torch.arange(6) - 3,
        lambda: torch.arange(6) % 3, lambda: images[:0], lambda: 5, lambda: "x", lambda: None,
        lambda: torch.tensor(1.0), lambda: images > 1,
        lambda: images.permute(0, 2, 3, 1), lambda: torch.rand(6, 3), images.bfloat16,
        lambda: torch.arange(6).float() * 1e30,
        lambda: images[:1].expand(10**7, 3, 8, 8),
        lambda: images.to_sparse_csr() if images.dim() == 2 else images.requires_grad_(),
    ]  # fmt: skip
    if deep < 3 and draw.random() < 0.35:
        inner = [_value(draw, deep + 1) for _ in range(draw.randrange(4))]
        own: Any = draw.choice((inner, {"data": inner}, {"x": 1}, [[inner]], {"images": inner[:1]}))
        if isinstance(own, list) and draw.random() < 0.1:
            own.append(own)
        return own
    return draw.choice(kinds)()


def pt_files(arena: Arena, draw: random.Random) -> Attack:
    """A .pt file of other code: other values, other bytes, a pickle."""
    folder = arena.copy("pt")
    path = draw.choice(sorted(folder.glob("*.pt")))
    what = draw.choice(("value", "value", "labels", "bytes", "pickle"))
    if what == "bytes":
        path.write_bytes(corrupted(draw, path.read_bytes()))
    elif what == "pickle":
        path.write_bytes(
            draw.choice(
                (b"cos\nsystem\n(S'touch pwned'\ntR.", b"\x80\x04.", b"(lp0\n" * 2000, b"\x80\x02]q\x00h\x00a.")
            )
        )
    else:
        pt_file.write(_value(draw), path)
    labels = folder / "labels_best.pt"
    if what == "labels":
        pt_file.write(_value(draw), labels)
    arguments = ["import", str(path), "--data", str(arena.input("toy.npz")), "--out", str(arena.work / "out")]
    return Attack(f"import of {path.name}, {what}", [*arguments, *draw.choice(((), ("--labels", str(labels))))])


def stages(arena: Arena, draw: random.Random) -> Attack:
    """What a killed or a hostile process left where the decoding is to go on."""
    folder, out = arena.copy("pictures"), arena.work / "out"
    cache = arena.work / "cache"
    os.environ["DISTILLSET_CACHE"] = str(cache)
    from distillset.sources import cache as caching
    from distillset.sources import load as loading

    # Where it will be built is known to whoever reads the source: here the first decoding says it.
    loading.load(folder, watcher=Watcher())
    entry = next(path for path in cache.iterdir() if (path / "card.json").is_file())
    truth = _truth_of(folder)
    stage = cache / f"{caching.STAGE}{entry.name}"
    what = draw.choice(("link", "progress", "bytes", "pixels", "folder"))
    entry.rename(stage)
    (stage / "card.json").unlink()
    pixels = (stage / "train.bin").read_bytes()
    if what == "link":
        name = draw.choice(("train.bin", "test.bin", "progress.json", "labels.safetensors", "card.json", ".lock"))
        (stage / name).unlink(missing_ok=True)
        (stage / name).symlink_to(arena.outside / draw.choice(("secret.txt", "secret.json", "new.txt")))
    progress = {"rows": draw.choice((1, 4, 12)), "widened": 0, "channels": 3}
    text = json.dumps(progress)
    if what == "progress":
        text = draw.choice((mutated(draw, progress), draw.choice(JSON)))
    if what == "pixels":
        (stage / "train.bin").write_bytes(bytes(len(pixels)))
    if what == "bytes":
        (stage / "train.bin").write_bytes(corrupted(draw, pixels))
    if what == "folder":
        (stage / "test.bin").unlink()
        (stage / "test.bin").mkdir()
    if not (stage / "progress.json").is_symlink():
        resealed(draw, text, stage / "progress.json", 0.3 if what == "progress" else 0.0)
    return Attack(f"decode after {what}", _selecting(arena, folder), wrong=lambda outcome: truth(out))


def _truth_of(folder: Path) -> Callable[[Path], str | None]:
    """Whether a selection is that of the pictures as they are."""
    true = distillset.select(distillset.load(folder, watcher=Watcher()), "random", 1, machine="cpu").fingerprint()

    def wrong(out: Path) -> str | None:
        found = SyntheticSet.load(out).fingerprint()
        return None if found == true else f"set {found[:12]} for {true[:12]}"

    return wrong
