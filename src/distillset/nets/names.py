"""Published names by one rule: a family, then parts that set one field each, in any order and any case.

``ConvNetD4W256ASwishBN`` is the family ConvNet with depth 4, width 256, swish and batch norm; ``ResNet18BN_AP`` is
ResNet18 with batch norm and average pooling. An underscore may stand before a part.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from distillset.data.spec import Spec


@dataclass(frozen=True)
class Word:
    """A part that is one of some words: word (as published) to value."""

    values: Mapping[str, str]
    default: str

    @property
    def pattern(self) -> str:
        """Longer words first: ASwish is not AS."""
        return "|".join(sorted(self.values, key=len, reverse=True))

    def read(self, text: str) -> str:
        return next(value for word, value in self.values.items() if word.lower() == text.lower())

    def write(self, value: Any) -> str:
        return next(word for word, known in self.values.items() if known == value)

    def __str__(self) -> str:
        return ", ".join(self.values)


@dataclass(frozen=True)
class Number:
    """A part that is a letter and a whole number."""

    letter: str
    default: int | None

    @property
    def pattern(self) -> str:
        return f"{self.letter}[0-9]{{1,6}}"

    def read(self, text: str) -> int:
        return int(text[len(self.letter) :])

    def write(self, value: Any) -> str:
        return f"{self.letter}{value}"

    def __str__(self) -> str:
        return f"{self.letter}<number>"


NORM_WORDS = {"NN": "none", "BN": "batch", "LN": "layer", "IN": "instance", "GN": "group"}


@dataclass(frozen=True)
class Family:
    """A row of the table of networks.

    Args:
        name: as published.
        parts: field to the part of a name that sets it.
        make: builds the network from fields.
    """

    name: str
    parts: Mapping[str, Word | Number]
    make: Callable[[Spec, Mapping[str, Any]], nn.Module]

    def fields(self, name: str) -> dict[str, Any] | None:
        """The fields that a published name stands for, defaults included; None if it is not a name of this family."""
        if not name.lower().startswith(self.name.lower()):
            return None
        fields: dict[str, Any] = {}
        at = len(self.name)
        while at < len(name):
            for field, part in self.parts.items():
                match = re.compile(f"_?({part.pattern})", re.IGNORECASE).match(name, at)
                if match and field not in fields:
                    fields[field], at = part.read(match[1]), match.end()
                    break
            else:
                return None
        return {field: fields.get(field, part.default) for field, part in self.parts.items()}

    def canonical(self, fields: Mapping[str, Any]) -> str:
        """The one spelling of these fields: lower case, parts in the order of `parts`, defaults left out."""
        words = [part.write(fields[field]) for field, part in self.parts.items() if fields[field] != part.default]
        return (self.name + "".join(words)).lower()

    def __str__(self) -> str:
        return " ".join([self.name, *(f"[{part}]" for part in self.parts.values())])
