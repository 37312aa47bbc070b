"""What every public function looks like: few arguments, each with a name, and one value for what belongs together."""

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

import pytest

import distillset as ds
from distillset.coresets import expert
from distillset.export import export
from distillset.export.imported import read_pt
from distillset.export.measure import measure
from distillset.report import report
from distillset.reproduction import reproduce
from distillset.studies import compare, continual, nas
from distillset.training import train_experts

PUBLIC = [value for name in ds.__all__ if isinstance(value := getattr(ds, name), FunctionType)]
FUNCTIONS = [*PUBLIC, compare, continual, nas, expert, train_experts, reproduce, measure, export, read_pt, report]
COMPUTING = [ds.distill, ds.evaluate, ds.select, compare, continual, nas, expert, reproduce, measure]
STANDING = [ds.evaluate, compare, reproduce]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_at_most_twelve_arguments_each_with_a_name(function: Callable[..., Any]) -> None:
    parameters = inspect.signature(function).parameters.values()
    assert len(parameters) <= 12
    assert not [one for one in parameters if one.kind in (one.VAR_KEYWORD, one.VAR_POSITIONAL)]


@pytest.mark.parametrize("function", COMPUTING, ids=lambda function: function.__name__)
def test_what_is_computed_on_is_one_value(function: Callable[..., Any]) -> None:
    parameters = inspect.signature(function).parameters
    assert parameters["machine"].default == "auto"
    assert not {"device", "precision", "compile", "memory"} & parameters.keys()


@pytest.mark.parametrize("function", STANDING, ids=lambda function: function.__name__)
def test_what_stands_beside_is_named(function: Callable[..., Any]) -> None:
    assert inspect.signature(function).parameters["beside"].default == ("random",)
