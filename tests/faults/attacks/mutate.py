"""What is handed over instead of what is expected: values of JSON, bytes, and words of a command line."""

import json
import random
from typing import Any

from distillset.store import SEAL, parse, write_sealed

HUGE = "1" + "0" * 400

JSON = (
    "null", "true", "false", "0", "-1", "1", "2", "1.5", "1e308", "1e400", "-1e400", "NaN", "Infinity", "-Infinity",
    HUGE,
    "9007199254740993", "1" + "0" * 30, '""', '"x"', '"0"', '"auto"', "[]", "{}", "[1]", "[null]", "[[[[]]]]",
    '{"a": {"b": 1}}',
    "[" * 80 + "]" * 80, "[" * 4000 + "]" * 4000, '{"a":' * 3000 + "1" + "}" * 3000, r'"\ud800"', r'"\u0000"',
    r'"a\u0000b"',
    r'"\u001b[2J\u001b[31mred\u0007"', r'"\u202eevil"', '"<script>alert(1)</script>"', '"../../../../etc/passwd"',
    '"/dev/zero"',
    '"/etc/shadow"', '"~root"', '"$(touch /tmp/x)"', '"{0.__class__}"', '"%s%n"', '"os:system"',
    '"' + "x" * 100_000 + '"',
    '"' + "é" * 300 + '"', "[0, 0, 0, 0]", "[true, true]", '[{"a": []}]', '{"": ""}', "99.9", "-0.0", "0.9999999",
    "100", "750",
)  # fmt: skip
"""Texts of JSON values, some of which are none."""

WORDS = (
    "", " ", "-1", "0", "1", "1.5", "nan", "inf", "-inf", "1e400", "1" + "0" * 400, "999999999999999999999", "true",
    "None", "x", "é",
    "..", "/", "/dev/null", "/dev/zero", "/dev/full", "~root", "a" * 300, "a/" * 200, "\x1b[31m", "\u202ex", "a\nb",
    "%s", "{}",
    "<b>", "'; DROP TABLE x", "$(id)", "*", "0x10", "1_000", "٣", "²", "-", "--", "=", ",", "1,2", "1x1", "0x0",
    "-1x-1", "99999x99999",
    "1e3x2", "os:system", "timm/x", "auto", "all", "M", "digits", "cifar10", "none", "\ud800", "\udcff",
)  # fmt: skip
"""Words that stand where a flag wants a value."""


def mutated(draw: random.Random, value: Any, times: int = 1) -> str:
    """The text of a JSON value in which some parts were replaced, removed, renamed or added."""
    value, texts = json.loads(json.dumps(value)), []
    for _ in range(times):
        holder, key = _somewhere(draw, value)
        what = draw.random()
        if holder is None:
            texts.append(draw.choice(JSON))
            value = _placeholder(texts)
        elif what < 0.7:
            texts.append(draw.choice(JSON))
            holder[key] = _placeholder(texts)
        elif what < 0.85:
            del holder[key]
        elif isinstance(holder, dict):
            texts.append(draw.choice(JSON))
            holder[draw.choice(["", "x", "\x1b[1m", "__proto__", "seal", "fingerprint", "a" * 1000])] = _placeholder(
                texts
            )
        else:
            holder.append(holder[key])
    text = json.dumps(value)
    for number, part in enumerate(texts):
        text = text.replace(json.dumps(f"@@{number}@@"), part)
    return text


def _placeholder(texts: list[str]) -> str:
    return f"@@{len(texts) - 1}@@"


def _somewhere(draw: random.Random, value: Any) -> tuple[Any, Any]:
    """A list or object inside, and a key of it; (None, None) now and then, for the whole value."""
    if not isinstance(value, dict | list) or not value or draw.random() < 0.02:
        return None, None
    holder = value
    while True:
        key = draw.choice(sorted(holder) if isinstance(holder, dict) else range(len(holder)))
        inner = holder[key]
        if not isinstance(inner, dict | list) or not inner or draw.random() < 0.4:
            return holder, key
        holder = inner


def resealed(draw: random.Random, text: str, path: Any, chance: float = 0.5) -> None:
    """Write the text; with a seal that is right where that can be, in so many cases."""
    try:
        value = parse(text)
    except ValueError:
        value = None
    if isinstance(value, dict) and draw.random() < chance:
        value.pop(SEAL, None)
        write_sealed(path, value)
    else:
        path.write_text(text, encoding="utf-8", errors="surrogatepass")


def corrupted(draw: random.Random, content: bytes) -> bytes:
    """Bytes that were cut, flipped, filled, moved, doubled or exchanged."""
    found = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8))):
        at = draw.randrange(len(found) + 1)
        length = draw.choice((1, 2, 8, 64, 512))
        what = draw.randrange(7)
        if what == 0:
            del found[at:]
        elif what == 1 and found:
            found[at % len(found)] ^= 1 << draw.randrange(8)
        elif what == 2:
            found[at : at + length] = bytes(length)
        elif what == 3:
            found[at : at + length] = b"\xff" * length
        elif what == 4:
            found[at:at] = draw.randbytes(length)
        elif what == 5:
            del found[at : at + length]
        else:
            found += found[at : at + length]
    return bytes(found)


def word(draw: random.Random) -> str:
    """A word of a command line."""
    return draw.choice(WORDS)
