"""Device, compilation, compute precision, micro-batches and CUDA graphs: the only place that knows them."""

from distillset.engine.adjoint import FlatLoss, GradientAndVJP, along, pulled_back
from distillset.engine.captured import Launch, side_by_side
from distillset.engine.compute import Compute, Work, has_bf16
from distillset.engine.differentiable import Embeddings, LossGradient
from distillset.engine.engine import Engine
from distillset.engine.features import BlockOutput, layer_names
from distillset.engine.kernels import compiler
from distillset.engine.micro_batches import blocks
from distillset.engine.networks import Loss, Rowwise, State, embedding, embeddings, logits
from distillset.engine.sgd import SGD
from distillset.engine.work import measure

__all__ = [
    "SGD",
    "BlockOutput",
    "Compute",
    "Embeddings",
    "Engine",
    "FlatLoss",
    "GradientAndVJP",
    "Launch",
    "Loss",
    "LossGradient",
    "Rowwise",
    "State",
    "Work",
    "along",
    "blocks",
    "compiler",
    "embedding",
    "embeddings",
    "has_bf16",
    "layer_names",
    "logits",
    "measure",
    "pulled_back",
    "side_by_side",
]
