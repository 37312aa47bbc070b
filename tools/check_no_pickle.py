"""Refuse code that can load or write a pickle: ``python tools/check_no_pickle.py PATH...``

A pickle runs code when it is loaded, so nothing here may read one, and nothing should give a reader cause to. The
check reads syntax trees and follows imports and their aliases. What the defaults of a library make safe has to be said
all the same (``torch.load(..., weights_only=True)``, ``numpy.load(..., allow_pickle=False)``): defaults have changed
before. It finds what is written by mistake; it does not hold against somebody who hides what they do.

Exit codes: 0 nothing found; 1 something found, a line each on stdout; 2 a path that is not there or holds no Python.
"""

import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

MODULES = frozenset(
    {"pickle", "_pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve", "marshal", "torch.package"}
)
"""Modules whose business is pickles, or their like."""

FUNCTIONS = frozenset({
    "torch.save", "torch.hub.load", "torch.jit.load", "torch.jit.save", "pandas.read_pickle",
    *(f"torch.distributed.{name}" for name in ("all_gather_object", "gather_object", "broadcast_object_list")),
    *(f"torch.distributed.{name}" for name in ("scatter_object_list", "send_object_list", "recv_object_list")),
})  # fmt: skip
"""Functions that pickle whatever they are given."""

METHODS = frozenset({"to_pickle", "read_pickle"})
"""The same as methods, whatever the object is called."""

MUST_SAY = {
    "torch.load": ("weights_only", True),
    "torch.hub.load_state_dict_from_url": ("weights_only", True),
    "numpy.load": ("allow_pickle", False),
    "numpy.save": ("allow_pickle", False),
    "numpy.lib.format.read_array": ("allow_pickle", False),
}
"""Functions that are safe with one argument, which has to be there in plain sight."""

KEYWORDS = dict(MUST_SAY.values())
ALIASES = {"torch.serialization.load": "torch.load", "torch.serialization.save": "torch.save"}


ALLOWED = {
    "src/distillset/export/pt.py": "use of torch.save",
    "tests/export/pt_file.py": "use of torch.save",
}
"""One place in one file: other programs' layouts are ``.pt`` files, which the library makes of tensors and plain values
alone. And one in the tests, which make hostile ones.
"""


ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, order=True)
class Finding:
    """One place (line and column from 1) and what is wrong with it."""

    line: int
    column: int
    message: str


def findings(source: str) -> list[Finding]:
    """Everything in a file's source that can load or write a pickle, in the order of its lines.

    Raises:
        SyntaxError: it is not Python.
    """
    tree = ast.parse(source)
    names = dict(_bindings(tree))
    safe = {id(call.func) for call in ast.walk(tree) if isinstance(call, ast.Call) and _says_so(call, names)}
    found = set()
    for node in ast.walk(tree):
        for message in _faults(node, names, safe):
            place = node.value if isinstance(node, ast.keyword) else node
            assert isinstance(place, ast.expr | ast.stmt)
            found.add(Finding(place.lineno, place.col_offset + 1, message))
    return sorted(found)


def _bindings(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Local names that imports bind, with the full name of what they stand for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                whole = alias.name if alias.asname else alias.name.partition(".")[0]
                yield alias.asname or whole, whole
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _full_name(node: ast.AST, names: dict[str, str]) -> str | None:
    """The dotted name that an expression stands for, imports followed; None where it is anything else."""
    if isinstance(node, ast.Name):
        name: str | None = names.get(node.id, node.id)
    elif isinstance(node, ast.Attribute):
        base = _full_name(node.value, names)
        name = f"{base}.{node.attr}" if base else None
    elif isinstance(node, ast.Call) and _full_name(node.func, names) == "getattr" and len(node.args) > 1:
        base, attribute = _full_name(node.args[0], names), node.args[1]
        known = base and isinstance(attribute, ast.Constant)
        name = f"{base}.{attribute.value!s}" if known and isinstance(attribute, ast.Constant) else None
    else:
        return None
    return ALIASES.get(name, name) if name else None


def _faults(node: ast.AST, names: dict[str, str], safe: set[int]) -> Iterator[str]:
    for module in _imported(node, names):
        if _below(module, MODULES):
            yield f"import of {module}"
    if isinstance(node, ast.keyword) and node.arg in KEYWORDS and not _literally(node.value, KEYWORDS[node.arg]):
        yield f"{node.arg} is not literally {KEYWORDS[node.arg]}"
    if isinstance(node, ast.Attribute) and node.attr in METHODS:
        yield f"use of .{node.attr}"
    if isinstance(node, ast.Name | ast.Attribute | ast.Call) and id(node) not in safe:
        name = _full_name(node, names)
        if name in FUNCTIONS or (isinstance(node, ast.Attribute) and name in MODULES):
            yield f"use of {name}"
        if name in MUST_SAY:
            keyword, value = MUST_SAY[name]
            yield f"{name} without {keyword}={value}"


def _imported(node: ast.AST, names: dict[str, str]) -> list[str]:
    """The modules that a node imports by name, also where it calls the import machinery."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    if isinstance(node, ast.Call) and _full_name(node.func, names) in ("importlib.import_module", "__import__"):
        given = [*node.args[:1], *(keyword.value for keyword in node.keywords if keyword.arg == "name")]
        return [value.value for value in given if isinstance(value, ast.Constant) and isinstance(value.value, str)]
    return []


def _below(name: str, modules: frozenset[str]) -> bool:
    return any(name == module or name.startswith(module + ".") for module in modules)


def _says_so(call: ast.Call, names: dict[str, str]) -> bool:
    keyword, value = MUST_SAY.get(_full_name(call.func, names) or "", ("", None))
    return any(given.arg == keyword and _literally(given.value, value) for given in call.keywords)


def _literally(node: ast.expr, value: bool | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def main(arguments: Sequence[str]) -> int:
    """Check files and folders. Returns the exit code."""
    count = 0
    for argument in arguments:
        path = Path(argument)
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path] if path.is_file() else []
        if not files:
            print(f"{path}: no Python file there")
            return 2
        for file in files:
            found = findings(file.read_text(encoding="utf-8"))
            for place, message in ALLOWED.items():
                excused = [finding for finding in found if finding.message == message]
                if file.resolve() == ROOT / place and len(excused) == 1:
                    found.remove(excused[0])
            for finding in found:
                count += 1
                print(f"{file}:{finding.line}:{finding.column}: {finding.message}")
    print(f"pickles: {count} ways to one found" if count else "pickles: none can be loaded or written")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
