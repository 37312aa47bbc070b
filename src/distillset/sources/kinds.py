"""Which files are images that can be read here, which tables, and what would read the others."""

import re
from functools import cache
from importlib.util import find_spec

TABLES = frozenset([".csv", ".tsv", ".txt", ".jsonl", ".json", ".parquet"])

COMMON = frozenset(
    [".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"]
)
"""Suffixes by which a folder is seen to hold images, without asking Pillow."""

UNSAFE = frozenset(
    [
        "EPS",
        "WMF",
        "FLI",
        "MPEG",
        "GRIB",
        "BUFR",
        "HDF5",
        "FITS",
        "PDF",
        "PCD",
        "ICNS",
        "MIC",
        "FPX",
        "IMT",
        "IPTC",
        "MCIDAS",
        "SPIDER",
        "XVTHUMB",
    ]
)
"""What Pillow hands to other programs (Ghostscript), only names, or reads as films: never opened."""

SILENT = frozenset([".ds_store", "thumbs.db", "__macosx", ".ipynb_checkpoints"])
"""What systems leave in every folder; nothing is said of it. Neither of ``._*``, the twins that a Mac writes."""

ADVICE = {
    **dict.fromkeys((".heic", ".heif", ".hif"), "pip install pillow-heif reads them"),
    **dict.fromkeys((".avif", ".avifs"), "Pillow 11.3 or newer reads them"),
    **dict.fromkeys((".npy", ".npz", ".pt", ".pth", ".pkl"), "arrays are read from one .npz with images and labels"),
    **dict.fromkeys((".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz"), "unpack them"),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "save them as .csv"),
    **dict.fromkeys(
        (".dcm", ".dicom", ".nii", ".svg", ".eps", ".pdf", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".jxl"),
        "convert them to .png",
    ),
    **dict.fromkeys((".mp4", ".avi", ".mov", ".mkv", ".webm"), "take single pictures out of them"),
}
"""What would read files that are left, by suffix."""

UNREAD_IMAGES = frozenset(
    [
        ".heic",
        ".heif",
        ".hif",
        ".avif",
        ".avifs",
        ".npy",
        ".dcm",
        ".dicom",
        ".svg",
        ".eps",
        ".cr2",
        ".cr3",
        ".nef",
        ".arw",
    ]
)
"""Suffixes of images that a folder of a class may hold and that are not read here."""

MAGIC = re.compile(
    rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a|BM....\0\0\0\0|RIFF....WEBP|II\*\0|MM\0\*|....ftypavif|P[1-6][ \n\r]",
    re.DOTALL,
)
"""How files of images begin."""


@cache
def suffixes() -> frozenset[str]:
    """Suffixes of images that the installed Pillow reads, with pillow-heif where that is installed."""
    from PIL import Image

    try:
        import pillow_heif  # type: ignore[import-not-found]

        pillow_heif.register_heif_opener()
    except ImportError:
        pass
    known = Image.registered_extensions()
    return frozenset(suffix for suffix, kind in known.items() if kind in Image.OPEN and kind not in UNSAFE) | {".jfif"}


def extras() -> list[str]:
    """Installed packages that read more kinds of images, found without importing any: part of a cache's key."""
    return [name for name in ("pillow_heif",) if find_spec(name) is not None]


@cache
def formats() -> tuple[str, ...]:
    """What Pillow may take a file for, whatever it is called."""
    from PIL import Image

    suffixes()
    return tuple(sorted(set(Image.OPEN) - UNSAFE))


@cache
def _downloaded() -> re.Pattern[str]:
    names = "|".join(re.escape(suffix[1:]) for suffix in sorted(suffixes(), key=len, reverse=True))
    return re.compile(rf".*\.({names})([ ?#:_].*|\.\d+)?", re.IGNORECASE | re.DOTALL)


def suffix_of(name: str) -> str:
    """The suffix of a file's name, small letters; empty where there is none."""
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 else ""


def is_image(path: str, name: str) -> bool:
    """Whether a file is an image that is read here: by its suffix.

    Where there is none, or what download programs put after it (``a.jpg.1``, ``a.jpg?w=1``), by its first bytes.
    """
    suffix = suffix_of(name)
    if suffix in suffixes():
        return True
    if suffix and not _downloaded().fullmatch(name):
        return False
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - of 100,000 files, making paths is what takes long
            return MAGIC.match(file.read(16)) is not None
    except OSError:
        return False


def silent(name: str) -> bool:
    """Whether nothing is said of a file or folder that is left."""
    return name.lower() in SILENT or name.startswith("._")
