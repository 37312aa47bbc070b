"""What a command left on the disk: all of it but times, and whether any of it is half-written."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distillset.errors import InputError
from distillset.sources import cache
from distillset.store import checksum, read_tensors

TIMED = re.compile(r"(\w+_)?(seconds|memory)|created|seal")
"""Fields that say how long something took, when it was made, or how much memory it held; and seals over those."""

TEMPORARY = re.compile(r"\..*\.tmp|\.building-.*")


def outcome(life: Path) -> dict[str, str]:
    """What a finished command left, by file: a digest of everything but times. Equal bits, equal outcomes.

    Of the checkpoints only the last counts: which one is kept before it depends on the time.
    """
    out = life / "out"
    found = {"stdout": _digest(_printed(life))}
    for path in visible(out):
        name = str(path.relative_to(out))
        if path.parent.name == "checkpoints" and path != _last(path.parent):
            continue
        found[name] = _digest(_content(path, life))
    return found


def half_written(life: Path) -> list[str]:
    """Whatever can be seen under its name and is not whole."""
    roots = [life / "out", life / "cache"]
    found = []
    for path in (path for root in roots for path in visible(root)):
        try:
            _content(path, life)
        except (InputError, ValueError) as error:
            found.append(f"{path.relative_to(life)}: {error}")
    entries = [path for path in (life / "cache").glob("*-*") if path.is_dir() and not TEMPORARY.fullmatch(path.name)]
    return found + [f"{entry.relative_to(life)}: not whole" for entry in entries if cache.read(entry) is None]


def temporaries(root: Path) -> list[str]:
    """Temporary files and folders that a command left behind."""
    return sorted(str(path.relative_to(root)) for path in root.rglob(".*") if TEMPORARY.fullmatch(path.name))


def visible(root: Path) -> Iterator[Path]:
    """Files under a folder whose names, and those of whose folders, do not begin with a dot."""
    for path in sorted(root.rglob("*")):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts):
            yield path


def _content(path: Path, life: Path) -> bytes:
    """What of a file has to be the same; raises if it is not whole."""
    if path.suffix == ".safetensors":
        return checksum(read_tensors(path)[0]).encode()
    content = path.read_bytes()
    if path.suffix == ".json":
        return _untimed_text(content.decode(), life)
    if path.suffix == ".jsonl":
        *lines, rest = content.split(b"\n")  # the last line of a killed run may be cut: it is dropped on resume
        records = [_untimed(json.loads(line)) for line in [*lines, *([rest] if _parses(rest) else [])]]
        return json.dumps(records, sort_keys=True).encode()
    if path.suffix == ".png" and not content.endswith(b"IEND\xaeB`\x82"):
        raise ValueError("a PNG without its end")
    return content


def _untimed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _untimed(part) for name, part in value.items() if not TIMED.fullmatch(name)}
    return [_untimed(part) for part in value] if isinstance(value, list) else value


def _untimed_text(text: str, life: Path) -> bytes:
    """JSON without its times, and without the folder of the life."""
    return json.dumps(_untimed(json.loads(text)), sort_keys=True).replace(str(life), "LIFE").encode()


def _printed(life: Path) -> bytes:
    """What was printed, if it is JSON; a line of text names times as well."""
    text = (life / "stdout").read_text()
    return _untimed_text(text, life) if text.startswith(("[", "{")) else b""


def _parses(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _last(checkpoints: Path) -> Path:
    return max(checkpoints.glob("step-*.safetensors"), key=lambda path: int(path.stem.removeprefix("step-")))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
