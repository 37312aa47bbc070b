"""What a method works on, and what it is handed: images, networks, embeddings and gradients, always by the engine."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distillset.augment import unpacked
from distillset.data.real import RealSet
from distillset.data.sampler import Rows, Sampler
from distillset.data.spec import Spec
from distillset.engine import Embeddings, Engine, LossGradient, State, blocks, embeddings, pulled_back
from distillset.engine.features import BLOCKS, LAST_LAYER
from distillset.errors import InputError
from distillset.keys import Key, fold
from distillset.mesh import Mesh, Solo
from distillset.methods.images import Images, Part
from distillset.methods.siamese import Siamese
from distillset.nets import Fill, calibrated, mixes_images
from distillset.nets.batch_norm import IMAGES
from distillset.training import cross_entropy
from distillset.watch import Watcher


@dataclass(frozen=True)
class Task:
    """What a method works on. Images of class ``c`` are the rows ``c*ipc`` to ``(c+1)*ipc`` of the synthetic ones.

    The network is in evaluation mode. Its states come from `draw_network`, which keeps the rule for batch norm.

    Args:
        real: the training set.
        ipc: images per class.
        network: the structure of the distilling network.
        engine: says how to compute.
        name: of the network.
        key: the run's, below which `prepare` draws.
        folder: where a method may keep what it makes for the run; None if nothing is kept.
        watcher: is notified of long preparations, and may ask to stop.
        mesh: the ranks that share the run.
    """

    real: RealSet
    ipc: int
    network: nn.Module
    engine: Engine
    name: str = ""
    key: Key = field(default_factory=partial(Key, 0))
    folder: Path | None = None
    watcher: Watcher = field(default_factory=Watcher)
    mesh: Mesh = field(default_factory=Solo)

    def __post_init__(self) -> None:
        self.network.eval()  # no image's result depends on the others: see `calibrated`

    @property
    def spec(self) -> Spec:
        return self.real.spec

    @property
    def device(self) -> torch.device:
        return self.engine.device

    @cached_property
    def classes(self) -> Tensor:
        """The numbers of the classes, on the device."""
        return torch.arange(self.spec.classes, device=self.device)

    def rows(self, classes: slice) -> slice:
        """The rows of the synthetic images that belong to a run of classes."""
        return slice(classes.start * self.ipc, classes.stop * self.ipc)

    def blocks(self, synthetic: int, real: int) -> list[slice]:
        """Runs of classes, each a term: the unit of work that ranks share.

        On a CPU so few classes that the images of one go through the network in one call, or one class: then any number
        of ranks finds work and computes the same bits. Of many classes at least a sixty-fourth, so that a step is not
        all overhead. On a GPU as many as one call takes.

        Args:
            synthetic: images that a class shows, tiles counted.
            real: real images of a class.
        """
        classes, most = self.spec.classes, self.engine.compute.micro_batch
        together = max(1, most // max(synthetic, real))
        if self.device.type == "cpu":
            together = max(together, min(classes // 64, most // synthetic))
        # Runs of one length where that takes few more of them: each length is a shape to compile.
        same = (n for n in range(min(together, classes), together * 2 // 3, -1) if classes % n == 0)
        return blocks(classes, 1, next(same, together))

    def portions(self, drawn: Rows, pixels: Tensor | None = None) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Real images, normalised, in portions of bounded memory (mostly one).

        Args:
            drawn: rows of some classes.
            pixels: their bytes ``[classes, n, C, H, W]``, where the host has read them already.

        Yields:
            (which of the classes, images ``[k, n, C, H, W]``, weights ``[k, n]``).
        """
        classes, n = drawn.rows.shape
        portion = self.engine.portion(self.spec.shape)
        for run in blocks(classes, n, portion):
            some = drawn.of(run)
            for start in range(0, some.rows.shape[1], portion):
                part = slice(start, start + portion)
                rows, weights = some.rows[:, part], some.weights[:, part]
                if pixels is None:
                    images = self.real.rows(rows.flatten(), self.device).unflatten(0, rows.shape)
                else:
                    images = self.real.normalise(pixels[run, : some.rows.shape[1]][:, part].flatten(0, 1))
                    images = images.unflatten(0, rows.shape)
                yield run, images, weights

    @cached_property
    def fill(self) -> Fill:
        return Fill(self.network, self.engine.uniform)

    def draw_network(self, stream: Tensor, calibrate: Tensor) -> State:
        """A freshly drawn network of a stream; the statistics of its batch norm, if it has any, by another."""
        return self.calibrated(self.fill(stream), calibrate)

    def draw_real(self, stream: Tensor, n: int, classes: slice) -> Images:
        """``n`` real images of each of a run of classes, drawn by a stream without replacement; not augmented."""
        sampler = self.sampler(n)
        rows = sampler(fold(stream, self.classes)).of(classes)
        return Images(self.classes[classes], rows.weights, sampler.n, partial(self.portions, rows))

    def synthetic(self, images: Tensor, classes: slice, formation: int = 1) -> Images:
        """The rows ``images [k*ipc, C, H, W]`` of a run of classes, or their tiles, as images of these classes."""
        count = classes.stop - classes.start
        return Images.of(unpacked(images, formation).unflatten(0, (count, -1)), self.classes[classes])

    def draw_augmentation(self, strategy: str, stream: Tensor, classes: slice) -> Callable[[Images], Images]:
        """A siamese augmentation: one draw for each of a run of classes, to be applied to its real and synthetic images
        alike.
        """
        siamese = self.siamese(strategy)
        how = siamese.draw(fold(stream, self.classes[classes]))

        def augmented(images: Images) -> Iterator[Part]:
            for run, pixels, weights in images.parts():
                if pixels.requires_grad:
                    seen = siamese.apply(pixels.flatten(0, 1), how[run], pixels.shape[1])
                else:
                    seen = siamese.apply_to_real(pixels, how[run])
                yield run, seen.unflatten(0, weights.shape), weights

        return lambda images: replace(images, parts=partial(augmented, images))

    def embed(
        self,
        network: State,
        images: Images | Tensor,
        layers: str | Sequence[str] = LAST_LAYER,
        full: int | None = None,
    ) -> Any:
        """Embeddings of images by a network, differentiable in the images; the engine computes them in micro-batches.

        Args:
            network: its parameters.
            images: those of a block of classes, or a tensor ``[n, C, H, W]``.
            layers: ``last``, the features before the classifier; ``all``, the output of every block; or the path of a
                module, or several.
            full: of a tensor, how many images there usually are, so that fewer need no shape of their own.

        Returns:
            Features ``[k, n, d]`` (``[n, d]`` of a tensor); a tuple of them for ``all`` and for several paths.
        """
        key = layers if isinstance(layers, str) else tuple(layers)
        rows = self._embeddings.get(key)
        if rows is None:
            rows = self._embeddings[key] = Embeddings(self.engine, embeddings(self.network, layers))
        if isinstance(images, Tensor):
            features = rows(network, images, full)
        else:
            features = images.apply(lambda pixels, usual: rows(network, pixels, usual))
        return features[0] if isinstance(layers, str) and layers != BLOCKS else features

    def loss_gradient(self, network: State, images: Images) -> State:
        """The gradient in a network's parameters of its loss on images: of each class the mean cross entropy, added up.

        It is differentiable in the images, which takes second derivatives: see `Method.second_order`.
        """
        total: State = {}
        for pixels, labels, weights, usual in images.labelled():
            part = self._gradients(network, pixels, labels, weights, usual)
            total = {name: total[name] + value if total else value for name, value in part.items()}
        return total

    def pixel_gradient(self, loss: Callable[[Tensor], Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
        """(``loss(images)``, its gradient in the images), for a loss of what the task hands out."""
        leaf = images.detach().requires_grad_()
        with torch.enable_grad():
            value = loss(leaf)
        if not value.requires_grad:
            raise InputError.about("loss", "it does not depend on the synthetic images, or was detached from them")
        return value.detach(), pulled_back(torch.ones_like(value), value, leaf)

    def sampler(self, n: int) -> Sampler:
        """The sampler that draws ``n`` real images of every class, made once."""
        if n not in self._samplers:
            self._samplers[n] = self.real.sampler(n, self.device)
        return self._samplers[n]

    def siamese(self, strategy: str) -> Siamese:
        """Draws and applies a siamese augmentation; made once."""
        if strategy not in self._siamese:
            self._siamese[strategy] = Siamese(strategy, self.spec.shape, self.engine)
        return self._siamese[strategy]

    @cached_property
    def _samplers(self) -> dict[int, Sampler]:
        return {}

    @cached_property
    def _siamese(self) -> dict[str, Siamese]:
        return {}

    @cached_property
    def _gradients(self) -> LossGradient:
        trainable = [name for name, parameter in self.network.named_parameters() if parameter.requires_grad]
        return LossGradient(self.engine, cross_entropy(self.network), trainable)

    @cached_property
    def _embeddings(self) -> dict[str | tuple[str, ...], Embeddings]:
        """Functions that are compiled once per run, by the layers they give."""
        return {}

    @cached_property
    def _calibration(self) -> Sampler | None:
        return self.sampler(IMAGES) if mixes_images(self.network) else None

    def calibrated(self, state: State, stream: Tensor) -> State:
        """``state`` with the batch-norm statistics of 16 real images per class, drawn by a stream, not augmented."""
        if self._calibration is None:
            return state
        chosen = self._calibration(fold(stream, self.classes))
        rows = torch.cat([rows_of_class[:count] for rows_of_class, count in zip(chosen.rows, chosen.most, strict=True)])
        return calibrated(self.network, state, self.real.rows(rows, self.device))
