"""Tables that name files outside their folder, and what is no file."""

from pathlib import Path

from tests.sources.made import Case, case, table, write
from tests.sources.table_cases import TWO, Step


def outside(path: str) -> Step:
    """A table of which one row names a file elsewhere."""

    def run(root: Path) -> None:
        write(root.parent / "secret.png", 0)
        table("path,label", "images/{name}.png,{label}", last=path.format(above=root.parent) + ",cat")(root)

    return run


def linked(root: Path) -> None:
    """A picture that is a link to one outside, which the table names."""
    write(root.parent / "secret.png", 1)
    table("path,label", "images/{name}.png,{label}")(root)
    (root / "images" / "000.png").unlink()
    (root / "images" / "000.png").symlink_to(root.parent / "secret.png")


def piped(root: Path) -> None:
    import os

    table("path,label", "images/{name}.png,{label}", last="images/pipe.png,cat")(root)
    os.mkfifo(root / "images" / "pipe.png")


READ = [
    case("files elsewhere, allowed", outside("../secret.png"), TWO, [6, 5], 1, allow_outside=True),
]

REFUSED = [
    case(
        "/dev/zero",
        outside("/dev/zero"),
        refused="outside the data's folder; `allow_outside=True`",
    ),
    case(
        "/dev/zero, allowed",
        outside("/dev/zero"),
        refused=r"row 12: No such file: /dev/zero, or no regular one",
        allow_outside=True,
    ),
    case("../secret.png", outside("../secret.png"), refused=r"row 12: \.\./secret\.png is outside"),
    case("images/../../secret.png", outside("images/../../secret.png"), refused=r"row 12: .*secret\.png is outside"),
    case("an absolute path", outside("{above}/secret.png"), refused=r"row 12: .*secret\.png is outside"),
    case("~", outside("~/secret.png"), refused=r"row 12: ~/secret\.png is outside"),
    case("~root", outside("~root/.profile.png"), refused=r"row 12: ~root/\.profile\.png is outside"),
    case("C:", outside("C:/secret.png"), refused=r"row 12: C:/secret\.png is outside|No such file: C:"),
    case("a link", linked, refused=r"row 0: .*000\.png is a link that leads outside the data's folder"),
    case("a pipe", piped, refused=r"row 12: No such file: images/pipe\.png"),
]

CASES: list[Case] = [*READ, *REFUSED]
