"""What a synthetic set is worth."""

from distillset.evaluation.accuracy import Row, evaluate
from distillset.evaluation.ledger import Ledger
from distillset.evaluation.protocol import PROTOCOLS, Protocol, choose, whole

__all__ = ["PROTOCOLS", "Ledger", "Protocol", "Row", "choose", "evaluate", "whole"]
