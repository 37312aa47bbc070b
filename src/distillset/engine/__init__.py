"""Device, compilation, compute precision, micro-batches and CUDA graphs: the only place that knows them."""

from distillset.engine.adjoint import FlatLoss, Slopes, along, pulled_back
from distillset.engine.captured import Launch, side_by_side
from distillset.engine.compute import Compute, Work, has_bf16
from distillset.engine.engine import Engine
from distillset.engine.kernels import compiler
from distillset.engine.micro_batches import blocks
from distillset.engine.networks import Loss, Rowwise, State, embedding, logits
from distillset.engine.sgd import SGD
from distillset.engine.work import measure

__all__ = [
    "SGD",
    "Compute",
    "Engine",
    "FlatLoss",
    "Launch",
    "Loss",
    "Rowwise",
    "Slopes",
    "State",
    "Work",
    "along",
    "blocks",
    "compiler",
    "embedding",
    "has_bf16",
    "logits",
    "measure",
    "pulled_back",
    "side_by_side",
]
