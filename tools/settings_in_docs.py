"""For the documentation's pages: the settings of a method, which its class adds to its docstring when it is made.

mkdocstrings reads sources without running them; `mkdocs.yml` names this extension of Griffe, which does what
`help(distillset.DM)` does.
"""

import importlib
from typing import Any

import griffe

HOME = "distillset.methods."


class Settings(griffe.Extension):  # type: ignore[misc]  # which need not be installed
    """Classes of methods have the docstring and the parameters that they have in Python."""

    def on_class_members(self, *, cls: griffe.Class, **named: Any) -> None:
        """Called for every class that was read."""
        if not cls.path.startswith(HOME):
            return
        from distillset.methods import Method, settings_of

        kind = getattr(importlib.import_module(cls.module.path), cls.name, None)
        if not (isinstance(kind, type) and issubclass(kind, Method)) or kind is Method:
            return
        cls.docstring = griffe.Docstring(kind.__doc__ or "", parent=cls)
        parameters = [
            griffe.Parameter(
                setting.name,
                annotation=setting.kind.__name__ + (" | None" if setting.optional else ""),
                kind=griffe.ParameterKind.keyword_only,
                default=repr(setting.default),
            )
            for setting in settings_of(kind)
        ]
        cls.set_member("__init__", griffe.Function("__init__", parameters=griffe.Parameters(*parameters), parent=cls))
