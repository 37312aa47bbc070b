"""Device, compilation, compute precision and micro-batches: the only place that knows them."""

from distillset.engine.adjoint import FlatLoss, Slopes, along, pulled_back
from distillset.engine.compute import Compute, Work, has_bf16
from distillset.engine.engine import Engine, blocks, embedding, logits, measure
from distillset.engine.kernels import compiler
from distillset.engine.sgd import SGD

__all__ = [
    "SGD",
    "Compute",
    "Engine",
    "FlatLoss",
    "Slopes",
    "Work",
    "along",
    "blocks",
    "compiler",
    "embedding",
    "has_bf16",
    "logits",
    "measure",
    "pulled_back",
]
