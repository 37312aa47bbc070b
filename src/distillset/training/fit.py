"""Train one network on a labelled set of images that fits the description ``rows -> images``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distillset.augment import DC_AUGMENTATIONS, Augmentation
from distillset.engine import SGD, Engine, Loss, State, logits
from distillset.errors import DivergedError, InputError
from distillset.keys import Key, words
from distillset.nets import Fill, drawn, draws, mixes_images
from distillset.training.sessions import Drawing, Examples, Session, TrainingSet

After = Callable[[int, State], None]
"""Called with the number of an epoch and the state after it."""


CHUNK = 4096
"""Most test images normalised at a time."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. The defaults are the field's evaluation (``evaluate_synset`` of the DC authors).

    SGD with momentum and weight decay on the cross entropy; ``epochs + 1`` passes, as published; at epoch
    ``epochs // 2 + 1`` the rate falls by ``decay`` and the optimiser starts anew, so that the momentum is lost, as
    published.

    Args:
        epochs: passes over the set, less the one more that the published code makes.
        rate: learning rate of SGD.
        momentum: of SGD, in [0, 1).
        weight_decay: of SGD, on all parameters.
        batch: most images of one update.
        decay: factor on the rate in the second half.
        augmentation: strategy of the differentiable augmentation with parameters drawn per image, ``"none"``, or one of
            the DC paper's evaluation: `DCAugmentation.NAME` on MNIST, `CropNoise.NAME` of ConvNetBN.
    """

    epochs: int = 1000
    rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.0005
    batch: int = 256
    decay: float = 0.1
    augmentation: str = "none"

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise InputError("epochs", self.epochs, "must be at least 0")
        if self.batch < 1:
            raise InputError("batch", self.batch, "must be at least 1")
        if not self.rate > 0:
            raise InputError("rate", self.rate, "must be above 0")


def cross_entropy(module: nn.Module) -> Loss:
    """``loss(state, images, labels, weights)``: the weighted sum of cross entropies.

    Labels are ``int64 [n]`` classes or ``float [n, classes]`` probabilities.
    """
    forward = logits(module)

    def loss(state: State, images: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        output = forward(state, images)
        exact = output if output.dtype == torch.float64 else output.float()
        total: Tensor = (F.cross_entropy(exact, labels, reduction="none") * weights).sum()
        return total

    return loss


class Trainer:
    """Trains networks of one structure by one recipe; compiled functions are kept from one network to the next."""

    def __init__(self, engine: Engine, module: nn.Module, recipe: Recipe) -> None:
        self.engine, self.module, self.recipe = engine, module, recipe
        self.trainable = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
        augmentation = DC_AUGMENTATIONS.get(recipe.augmentation) or Augmentation.parse(recipe.augmentation)
        self.drawing = Drawing(engine, augmentation)
        self.mixes = mixes_images(module)
        self._gradient = engine.gradient(cross_entropy(module), self.mixes)
        self._predict = engine.rowwise(logits(module))
        self._compiled: set[tuple[Any, ...]] = set()
        self._draws: bool | None = None

    def fit(self, training_set: TrainingSet) -> State:
        """A fresh network, trained."""
        (state,) = self.fit_together([training_set])
        return state

    def fit_together(self, sets: Sequence[TrainingSet]) -> list[State]:
        """`fit` for several sets of the same size side by side: the same networks, but for rounding."""
        states = self._fresh(sets)
        self.run(self.session(states, sets), [each.key for each in sets])
        return states

    def _fresh(self, sets: Sequence[TrainingSet]) -> list[State]:
        keys, device, fill = (
            [each.key("network") for each in sets],
            self.engine.device,
            Fill(self.module, self.engine.uniform),
        )
        return fill.several(words(keys, device)) if fill.pure else [drawn(self.module, key, device) for key in keys]

    def session(self, states: Sequence[State], sets: Sequence[TrainingSet]) -> Session:
        """The training of ``states`` in place, each on its own set."""
        shape = sets[0].shape(self.engine.device)
        if self._draws is None:
            self._draws = draws(self.module, shape)
        recipe = self.recipe
        parameters = [state[name] for state in states for name in self.trainable]
        optimiser = SGD(parameters, recipe.rate, recipe.momentum, recipe.weight_decay)
        return Session(
            self.engine, self._gradient, self.trainable, states, sets, optimiser, recipe.batch, self.drawing,
            shape, self._draws,
        )  # fmt: skip

    def run(self, session: Session, keys: Sequence[Key], after: After | None = None) -> None:
        """All epochs of a session under these keys.

        ``after`` is shown the number and the state of every epoch when it is over; the next epoch changes that state.
        """
        recipe, rate = self.recipe, self.recipe.rate
        self.module.train()
        session.optimiser.restart(rate)
        for epoch, updates in enumerate(session.numbers(keys, recipe.epochs + 1)):
            for update in updates:
                session.update(update, keys)
            if epoch == recipe.epochs // 2 + 1:
                rate *= recipe.decay
                session.optimiser.restart(rate)
            if after:
                for state in session.states:
                    after(epoch, state)
                self.module.train()
        self.module.eval()

    def train(self, state: State, training_set: TrainingSet, after: After | None = None) -> None:
        """Train ``state`` in place; ``after`` as in `run`."""
        self.run(self.session([state], [training_set]), [training_set.key], after)

    def compile_for(self, sets: Sequence[TrainingSet], tests: Examples, count: int) -> None:
        """Compile, if functions are compiled, what `fit_together` on such sets and `accuracy` on ``count`` rows need.

        Without it the first training would pay for all in its seconds.
        """
        labels, device = sets[0].labels, self.engine.device
        wanted = len(sets), len(labels), labels.dtype, count
        if not self.engine.compute.compile or wanted in self._compiled:
            return
        self._compiled.add(wanted)
        states, keys = self._fresh(sets[:1]), [each.key for each in sets[:1]]
        session = self.session(states, sets[:1])
        self.module.train()
        sizes = {update.rows.shape[1]: update for update in session.numbers(keys, 1).of(0)}
        # Where images mix, the last batch is not filled up.
        for update in list(sizes.values())[: None if self.mixes else 1]:
            session.gradients(update, keys)
        self.module.eval()
        self._predict(states[0], tests(torch.arange(1, device=device)), min(self._chunk(tests), count))

    def together(self, shape: tuple[int, int, int], count: int) -> int:
        """How many trainings on ``count`` images of ``shape`` are worth running side by side.

        One on a CPU, whose cores a single one fills; and one where the network draws random numbers of its own.
        """
        most = self.engine.together(min(self.recipe.batch, count))
        return 1 if most == 1 or draws(self.module, shape) else most

    def accuracy(self, state: State, examples: Examples, labels: Tensor) -> float:
        """The fraction of rows that ``state`` classifies as labelled, in evaluation mode.

        Raises:
            DivergedError: see `predict`.
        """
        return int((self.predict(state, examples, len(labels)).argmax(1) == labels).sum()) / len(labels)

    def predict(self, state: State, examples: Examples, count: int) -> Tensor:
        """The logits of the first ``count`` rows in evaluation mode, ``float32 [count, classes]`` on the CPU.

        Raises:
            DivergedError: a logit or a parameter is NaN or infinite.
        """
        self.module.eval()
        chunk = self._chunk(examples)
        parts = [self._predict(state, examples(rows), min(chunk, count)) for rows in torch.arange(count).split(chunk)]
        outputs = torch.cat([part.cpu() for part in parts])
        for what, values in {"logits": outputs, **state}.items():
            if not bool(values.isfinite().all()):
                raise DivergedError(
                    f"the network diverged: {what} are not finite after training at learning rate {self.recipe.rate:g}"
                )
        return outputs

    def _chunk(self, examples: Examples) -> int:
        """Rows of a test that are normalised at a time."""
        return min(CHUNK, self.engine.portion(examples(torch.arange(1)).shape[1:]))
