"""What a synthetic set is worth."""

from distillset.evaluation.accuracy import evaluate
from distillset.evaluation.ledger import Ledger
from distillset.evaluation.protocol import PROTOCOLS, Protocol, choose, whole
from distillset.evaluation.row import Row, table
from distillset.evaluation.snapshots import read_snapshots

__all__ = ["PROTOCOLS", "Ledger", "Protocol", "Row", "choose", "evaluate", "read_snapshots", "table", "whole"]
