"""Resolves a name or a path: a folder or file on this disk, a data set of the hub, or an embedded one."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distillset.data.spec import check_text
from distillset.errors import InputError
from distillset.sources import array_files, cache, forms, hugging_face, image_folder, kinds, mat_files
from distillset.sources.kinds import TABLES
from distillset.sources.known import KNOWN, RESPLIT, Known, unknown
from distillset.sources.raw_arrays import names_under
from distillset.sources.splits import Split

LAYOUTS = 2
"""Part of the key of folders in the cache: raise it when what their layout is read as changes."""


@dataclass(frozen=True)
class Place:
    """A source on this disk or on the hub.

    Args:
        name: of the data set.
        path: the folder or file; None for what is embedded or on the hub.
        known: the row of the table of known names, where it was found by one.
        looked: the folder in which a known name was looked for, if there was one.
    """

    name: str
    path: Path | None
    known: Known | None
    looked: Path | None = None

    @property
    def source(self) -> str:
        """What finds it again."""
        return self.name if self.known is not None else str(self.path)

    def identity(self) -> dict[str, Any]:
        """What the cache's key is made of: where it is, and when its files changed; the hub is taken as unchanging."""
        stated = None if self.known is None else self.known.identity()
        record: dict[str, Any] = {"name": self.name, "known": stated}
        if self.known is not None and (package := KNOWN.package(self.name)) is not None:
            record["package"] = package
        if self.path is None:
            return record
        called = forms.form_named(self.path)
        form = None if called is None else forms.FORMS[called]
        read = [self.path] if form is None or self.path.is_dir() else form.files(self.path)
        record |= {"path": str(self.path), "files": [seen for file in read for seen in cache.files_of(file)]}
        if called is not None and (package := forms.FORMS.package(called)) is not None:
            record["reader"] = package
        if self.path.is_dir() and self.known is None and form is None:
            record["reads"] = [LAYOUTS, *kinds.extras()]
        elif self.path.suffix.lower() in TABLES and self.path.is_file():
            record["beside"] = image_folder.files_listed(self.path)
        return record

    def open(
        self, scratch: Path, wanted: Sequence[str] | None = None, allow_outside: bool = False
    ) -> Mapping[str, Split]:
        """Its splits.

        Args:
            scratch: a folder for what a reader has to write, needed until the splits are read.
            wanted: names of classes that are known from elsewhere, which decide where folders can be read in two ways.
            allow_outside: whether tables may name images outside their folder.
        """
        if self.path is not None:
            if (form := forms.form_of(self.path)) is not None:
                return form.splits(self.path, "" if self.known is None else self.known.family)
            if self.path.is_file():
                return self._open_table(self.path, scratch, allow_outside)
            splits = image_folder.open_image_folder(self.path, wanted, allow_outside)
            configuration = None if self.known is None else self.known.configuration
            return splits or hugging_face.open_folder(self.path, scratch, allow_outside, configuration)
        assert self.known is not None
        if self.known.open is not None:
            return self.known.open()
        if self.known.hub is None:
            below = f" (in {self.looked} it was looked for)" if self.looked else ""
            raise InputError.about(
                self.name,
                "not found on this machine; give `data_dir` or DISTILLSET_DATA, the folder that holds "
                f"{', '.join((self.name, *self.known.folders))}{below}",
            )
        return hugging_face.open_hub(self.name, self.known, self.looked)

    def note(self) -> str | None:
        """What is to be said of where a known name was found, or of the hub's copy."""
        if self.known is None:
            return None
        if self.path is None:
            return self.known.note
        if forms.plain(self.path.stem if self.path.is_file() else self.path.name) == forms.plain(self.name):
            return None
        resplit = f"; {RESPLIT}" if self.path.name.lower().startswith(("imagenette2", "imagewoof2")) else ""
        return f"{self.name}: read from {self.path}{resplit}"

    def _open_table(self, path: Path, scratch: Path, allow_outside: bool) -> Mapping[str, Split]:
        if path.suffix.lower() == ".parquet" and hugging_face.holds_images(path):
            return hugging_face.open_parquet(path, scratch, allow_outside)
        return image_folder.open_table(path, allow_outside)


def expanded(path: str | Path) -> Path:
    """``path`` with ``~`` replaced by the home it stands for, where there is one."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def check_named_by_card(source: str, field: str) -> str:
    """What the card of an artifact names as its data, where reading it does no harm.

    A card may come from a stranger: it cannot have a whole home, or what homes lie in, looked through.

    Args:
        source: a known name or a path.
        field: of the card, for messages.

    Raises:
        InputError: it is a home, or homes or the system lie in it.
    """
    if source in KNOWN:
        return source
    try:
        place = Path(source).resolve()
        homes = {home.resolve() for home in (Path.home(), *_homes())}
    except (OSError, ValueError, RuntimeError):
        return source  # which leads nowhere
    if source.startswith("~") or any(home.is_relative_to(place) for home in homes):
        raise InputError.about(
            f"data.{field} of the card is {source[:200]!r}",
            "a home folder, or one that holds home folders, is not read; if the data are there, say so with `data`",
        )
    return source


def _homes() -> list[Path]:
    """The homes of all users; none on Windows, where Python does not know them."""
    try:
        import pwd
    except ImportError:
        return []
    return [Path(user.pw_dir) for user in pwd.getpwall()]


def there(path: Path) -> bool:
    """Whether a path exists; a name that no file system takes does not."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _of_the_hub(name: str) -> str:
    known = next((known for known, row in KNOWN.loaded().items() if row.hub == name and row.classes is None), None)
    return "" if known is None else f" (did you mean {known}?)"


def find(data: str | os.PathLike[str], data_dir: str | Path | None = None, field: str = "data") -> Place:
    """Where a name or path leads: a known name (under ``data_dir`` or on the hub), a path, a folder under ``data_dir``.

    Raises:
        InputError: it leads nowhere, or to a file of another kind.
    """
    name = os.fspath(data)
    stated = data_dir or os.environ.get("DISTILLSET_DATA")
    folder = expanded(stated) if stated else None
    if data_dir and (folder is None or not folder.is_dir()):
        raise InputError("data_dir", data_dir, "no such folder")
    if isinstance(data, str) and name not in KNOWN and os.sep not in name and not there(expanded(name)):
        # CIFAR-10 and Fashion-MNIST are names of theirs, whatever a folder below ``data_dir`` is called
        name = next((known for known in KNOWN if forms.plain(known) == forms.plain(name)), name)
    if name in KNOWN and isinstance(data, str):
        known = KNOWN[name]
        if folder is None or known.open is not None:
            return Place(name, None, known)
        place = _under(folder, name, known)
        place = None if place is None else forms.descended(place).resolve()
        if place is not None:
            _check_names(place)
        return Place(name, place, known, folder)
    path = expanded(name)
    if not there(path) and folder is not None and name and there(folder / name):
        path = folder / name
    if not name or not there(path):
        if name and os.sep not in name and path.suffix.lower() not in forms.suffixes():
            raise unknown(name, field)
        raise InputError(field, name, f"no such folder or file{_of_the_hub(name)}")
    path = path.resolve()
    check_text(f"the path of {field}", str(path))
    if not path.is_dir() and forms.form_of(path) is None and path.suffix.lower() not in TABLES:
        instead = forms.instead_of(path)
        raise InputError(
            field,
            name,
            "a file of this kind is not read; "
            + (instead or f"allowed are {', '.join(forms.suffixes())}, idx files and folders"),
        )
    path = forms.descended(path)
    _check_names(path)
    return Place(path.stem if path.is_file() else path.name, path, None)


def _check_names(path: Path) -> None:
    """Refuse what the names of files alone show cannot be read, before a large folder is gone through.

    Raises:
        InputError: see `forms.Form.check` and `image_folder.check_flat`.
    """
    if (form := forms.form_of(path)) is not None:
        form.check(path)
    elif path.is_dir():
        image_folder.check_flat(path)


def _under(folder: Path, name: str, known: Known) -> Path | None:
    """The folder or file below ``folder`` that holds a known set, or ``folder`` where that is the set itself."""
    names = (name, *known.folders)
    wanted = {forms.plain(inner): place for place, inner in reversed(list(enumerate(names)))}
    entries = [path for path in names_under(folder).values() if forms.plain(path.name) in wanted and path.is_dir()]
    alike = sorted(entries, key=lambda path: wanted[forms.plain(path.name)])
    for place in (*(folder / inner for inner in names), *alike):
        if place.is_dir() and any(not entry.startswith(".") for entry in names_under(place)):
            return place
    if (file := array_files.named(folder, name)) is not None:
        return file
    files = forms.suffixes()
    for path in names_under(folder).values():
        if path.suffix.lower() in files and forms.plain(path.stem) == forms.plain(name) and path.is_file():
            return path
    home = folder.resolve()
    called = forms.plain(home.parent.name if home.name.lower() == "raw" else home.name) in wanted
    if forms.form_of(folder) is not None and (called or name == "svhn" == mat_files.named_by_files(folder)):
        return folder
    return None
