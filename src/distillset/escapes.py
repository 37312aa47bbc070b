"""Text from data and cards as it may be shown: nothing in it moves a cursor, colours a screen or turns other text."""

import unicodedata

DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that reorder those around them: a name could be read as another."""


def printable(text: str, allowed: str = "") -> str:
    r"""``text`` with control characters as escapes, all but those ``allowed``.

    >>> printable("cat\x1b[31m\u202e"), printable("größe, 猫\n", allowed="\n")
    ('cat\\x1b[31m\\u202e', 'größe, 猫\n')
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in allowed or _harmless(c) else c.encode("unicode_escape").decode() for c in text)


def _harmless(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp") and character not in DIRECTIONS
