"""Evaluation of synthetic sets: test accuracy of networks trained on them."""

from distillset.evaluation.accuracy import evaluate
from distillset.evaluation.beside import BESIDE
from distillset.evaluation.ledger import Ledger
from distillset.evaluation.protocol import PROTOCOLS, Protocol, whole
from distillset.evaluation.row import Row, table
from distillset.evaluation.snapshots import Snapshots, read_snapshots

__all__ = [
    "BESIDE",
    "PROTOCOLS",
    "Ledger",
    "Protocol",
    "Row",
    "Snapshots",
    "evaluate",
    "read_snapshots",
    "table",
    "whole",
]
