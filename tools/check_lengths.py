"""No Python file is so long that it is not read in one sitting.

python tools/check_lengths.py FOLDER...
"""

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

MOST, MEDIAN = 400, 150
"""Lines of a file, and of the file in the middle."""


def lengths(folders: Sequence[str]) -> dict[Path, int]:
    """The lines of every Python file below ``folders``."""
    paths = sorted(path for folder in folders for path in Path(folder).rglob("*.py"))
    return {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}


def main(folders: Sequence[str]) -> int:
    """Print what is too long. Returns 1 if anything is."""
    found = lengths(folders)
    long = [
        f"{path}: {count} lines; at most {MOST}, split it by subject" for path, count in found.items() if count > MOST
    ]
    middle = statistics.median(found.values())
    if middle > MEDIAN:
        long.append(f"the median of {len(found)} files is {middle:g} lines; at most {MEDIAN}")
    print("\n".join(long) or f"{len(found)} Python files, median {middle:g} lines, longest {max(found.values())}")
    return 1 if long else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
