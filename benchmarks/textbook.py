"""The textbook: what the published loops do, written plainly. Eager, float32, class by class, `nn.GroupNorm`.

It shares the augmentation's draws with the fast path, so that both do the same work.
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from distillset.augment import Augmentation
from distillset.keys import Key


class ConvNet3(nn.Module):
    """ConvNet of depth 3 and width 128 with instance norm as the papers' code has it."""

    def __init__(self, channels: int, size: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs in (channels, 128, 128):
            layers += [nn.Conv2d(inputs, 128, 3, padding=1), nn.GroupNorm(128, 128), nn.ReLU(), nn.AvgPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(128 * (size // 8) ** 2, classes)

    def embed(self, images: Tensor) -> Tensor:
        features: Tensor = self.features(images)
        return features.flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.embed(images))
        return logits


class Matching:
    """Distribution matching as its authors' loop does it: real images held as floats, one class after the other."""

    def __init__(self, real: Tensor, labels: Tensor, start: Tensor, ipc: int, batch: int, strategy: str) -> None:
        self.real, self.ipc, self.batch = real, ipc, batch
        self.rows = [torch.nonzero(labels == c).flatten() for c in range(int(labels.max()) + 1)]
        self.images = start.clone().requires_grad_()
        self.optimiser = torch.optim.SGD([self.images], lr=1.0, momentum=0.5)
        self.augmentation = Augmentation.parse(strategy)

    def step(self, key: Key) -> float:
        """One step: a fresh network, the loss of all classes, one update of the pixels."""
        shape = tuple(self.images.shape[1:])
        network = ConvNet3(shape[0], shape[-1], len(self.rows)).to(self.real.device)
        for parameter in network.parameters():
            parameter.requires_grad_(False)
        loss = torch.zeros((), device=self.real.device)
        for c, rows in enumerate(self.rows):
            real = self.real[rows[torch.randperm(len(rows))[: self.batch]]]
            synthetic = self.images[c * self.ipc : (c + 1) * self.ipc]
            draw = self.augmentation.draw(key("augment", c).words(), (shape[0], shape[1], shape[2]), on_host=True)
            target = network.embed(draw.apply(real)).detach().mean(0)
            loss = loss + (target - network.embed(draw.apply(synthetic)).mean(0)).square().sum()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return float(loss.detach())


class GradientMatching:
    """Gradient matching as its authors' loop does it: class by class, with the graph of the synthetic gradient kept."""

    def __init__(
        self, real: Tensor, labels: Tensor, start: Tensor, ipc: int, batch: int, outer: int, inner: int
    ) -> None:
        self.real, self.ipc, self.batch, self.outer, self.inner = real, ipc, batch, outer, inner
        self.rows = [torch.nonzero(labels == c).flatten() for c in range(int(labels.max()) + 1)]
        self.labels = torch.arange(len(self.rows), device=real.device).repeat_interleave(ipc)
        self.images = start.clone().requires_grad_()
        self.optimiser = torch.optim.SGD([self.images], lr=0.1, momentum=0.5)

    def step(self, key: Key) -> float:
        """One step: a fresh network, ``outer`` updates of the pixels, ``inner`` epochs after each but the last."""
        network = ConvNet3(self.images.shape[1], self.images.shape[-1], len(self.rows)).to(self.real.device)
        parameters = list(network.parameters())
        trainer = torch.optim.SGD(parameters, lr=0.01)
        total = 0.0
        for turn in range(self.outer):
            loss = torch.zeros((), device=self.real.device)
            for c, rows in enumerate(self.rows):
                real = self.real[rows[torch.randperm(len(rows))[: self.batch]]]
                wanted = torch.autograd.grad(F.cross_entropy(network(real), self._all(c, len(real))), parameters)
                synthetic = self.images[c * self.ipc : (c + 1) * self.ipc]
                guesses = F.cross_entropy(network(synthetic), self._all(c, self.ipc))
                found = torch.autograd.grad(guesses, parameters, create_graph=True)
                for ours, theirs in zip(found, wanted, strict=True):
                    if ours.dim() > 1:
                        a, b = ours.flatten(1), theirs.detach().flatten(1)
                        loss = loss + (1 - (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-6)).sum()
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            total += float(loss.detach())
            for _ in range(self.inner if turn < self.outer - 1 else 0):
                trainer.zero_grad()
                F.cross_entropy(network(self.images.detach()), self.labels).backward()
                trainer.step()
        return total

    def _all(self, label: int, count: int) -> Tensor:
        return torch.full((count,), label, device=self.real.device)


class TrajectoryMatching:
    """Trajectory matching as its authors' loop does it: the whole unrolled training is one graph."""

    def __init__(self, start: Tensor, ipc: int, first: Tensor, last: Tensor, steps: int, strategy: str) -> None:
        self.images, self.first, self.last, self.steps = start.clone().requires_grad_(), first, last, steps
        self.labels = torch.arange(len(start), device=start.device) // ipc
        self.rate = torch.tensor(0.01, device=start.device, requires_grad=True)
        self.network = ConvNet3(start.shape[1], start.shape[-1], len(start) // ipc).to(start.device)
        self.optimiser = torch.optim.SGD([self.images], lr=100.0, momentum=0.5)
        self.rate_optimiser = torch.optim.SGD([self.rate], lr=1e-7, momentum=0.5)
        self.augmentation = Augmentation.parse(strategy)

    def logits(self, vector: Tensor, images: Tensor) -> Tensor:
        """The network under parameters in one vector."""
        named = dict(self.network.named_parameters())
        parts = vector.split([parameter.numel() for parameter in named.values()])
        state = {name: part.view(named[name].shape) for name, part in zip(named, parts, strict=True)}
        out: Tensor = functional_call(self.network, state, (images,))
        return out

    def step(self, key: Key) -> float:
        """One student, and one update of pixels and rate."""
        student = self.first.clone().requires_grad_()
        channels, height, width = self.images.shape[1:]
        for i in range(self.steps):
            order = torch.randperm(len(self.images))
            draw = self.augmentation.draw(
                key("augment", i).words(), (channels, height, width), len(order), on_host=True
            )
            loss = F.cross_entropy(self.logits(student, draw.apply(self.images[order])), self.labels[order])
            (gradient,) = torch.autograd.grad(loss, student, create_graph=True)
            student = student - self.rate * gradient
        distance = (student - self.last).square().sum() / (self.first - self.last).square().sum()
        self.optimiser.zero_grad()
        self.rate_optimiser.zero_grad()
        distance.backward()
        self.optimiser.step()
        self.rate_optimiser.step()
        return float(distance.detach())


class ExpertTraining:
    """An expert's epoch as the published buffers are trained: eager SGD over augmented batches of images as floats."""

    def __init__(self, real: Tensor, labels: Tensor, batch: int, strategy: str) -> None:
        self.real, self.labels, self.batch = real, labels, batch
        self.network = ConvNet3(real.shape[1], real.shape[-1], int(labels.max()) + 1).to(real.device)
        self.optimiser = torch.optim.SGD(self.network.parameters(), lr=0.01)
        self.augmentation = Augmentation.parse(strategy)

    def step(self, key: Key) -> float:
        """One epoch; gives the last loss."""
        channels, height, width = self.real.shape[1:]
        loss = torch.zeros((), device=self.real.device)
        for i, rows in enumerate(torch.randperm(len(self.real)).split(self.batch)):
            draw = self.augmentation.draw(key("augment", i).words(), (channels, height, width), len(rows), on_host=True)
            loss = F.cross_entropy(self.network(draw.apply(self.real[rows])), self.labels[rows])
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
        return float(loss.detach())


class Training:
    """Training on a synthetic set as the published evaluation does it."""

    def __init__(self, images: Tensor, labels: Tensor, strategy: str) -> None:
        self.images, self.labels = images, labels
        self.network = ConvNet3(images.shape[1], images.shape[-1], int(labels.max()) + 1).to(images.device)
        self.optimiser = torch.optim.SGD(self.network.parameters(), lr=0.01, momentum=0.9, weight_decay=0.0005)
        self.augmentation = Augmentation.parse(strategy)

    def step(self, key: Key) -> float:
        """One update on all images in a random order, each augmented by itself."""
        order = torch.randperm(len(self.images))
        channels, height, width = self.images.shape[1:]
        draw = self.augmentation.draw(key.words(), (channels, height, width), len(order), on_host=True)
        loss = F.cross_entropy(self.network(draw.apply(self.images[order])), self.labels[order])
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return float(loss.detach())
