"""ZCA whitening: images whose pixels are uncorrelated, and look like the images they came from.

With the covariance ``C = U diag(l) U^T`` of the training pixels in [0, 1] about their mean ``m``, an image ``x`` (as a
vector of D = C*H*W numbers) becomes ``(x - m) W`` with ``W = U diag((l + eps)^(-1/2)) U^T`` and eps 0.1, as in the
code of Cazenavette et al. (CVPR 2022), who use it in place of mean and std. The same W, fitted on the training set,
serves synthetic and test images.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distillset.errors import InputError
from distillset.store import checksum, read_tensors, write_tensors

EPS = 0.1
LARGEST = 3 * 32 * 32
"""Numbers of an image up to which whitening is not refused: W has as many rows and columns."""

CHUNK = 256
"""Images at a time: so many products of bytes add up exactly in float32 (256 * 255^2 < 2^24), and twice as fast."""

WHITENINGS = ("auto", "none", "zca", "zca-large")
FILE = "whitening.safetensors"
"""What `Whitening.save` writes is called in a folder of its own."""


@dataclass(frozen=True, eq=False)
class Whitening:
    """A fitted whitening.

    Args:
        matrix: W, ``float32 [D, D]``, symmetric.
        mean: m, ``float32 [D]``, of pixels in [0, 1].

    Raises:
        InputError: shapes or types do not fit together.
    """

    matrix: Tensor
    mean: Tensor
    _moved: dict[Any, tuple[Tensor, Tensor]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        size = self.mean.numel()
        if self.mean.shape != (size,) or self.matrix.shape != (size, size):
            raise InputError.about(
                f"zca_matrix {list(self.matrix.shape)} and zca_mean {list(self.mean.shape)}", "do not fit"
            )
        if self.matrix.dtype != torch.float32 or self.mean.dtype != torch.float32:
            raise InputError.about(f"zca_matrix {self.matrix.dtype} and zca_mean {self.mean.dtype}", "must be float32")

    @classmethod
    def fit(cls, pixels: Tensor, eps: float = EPS) -> "Whitening":
        """The whitening of a training set.

        Args:
            pixels: uint8 [N, C, H, W], N at least 2.
            eps: added to the eigenvalues of the covariance (that of the sample, over N - 1).
        """
        count, size = len(pixels), pixels[0].numel()
        if count < 2:
            raise InputError("whiten", "zca", f"at least 2 images are needed to fit it; there are {count}")
        # Sums of whole numbers are exact, in any order: the covariance is the same on every machine.
        products, sums = torch.zeros(size, size, dtype=torch.float64), torch.zeros(size, dtype=torch.float64)
        for chunk in pixels.split(CHUNK):
            flat = chunk.flatten(1).float()
            products += flat.T @ flat
            sums += flat.sum(0)
        mean = sums / count
        covariance = (products - torch.outer(sums, mean)) / (255**2 * (count - 1))
        values, vectors = torch.linalg.eigh(covariance)
        matrix = (vectors * (values.clamp(min=0) + eps).rsqrt()) @ vectors.T
        return cls(matrix.float(), (mean / 255).float())

    def apply(self, pixels: Tensor) -> Tensor:
        """Whitened images ``float32 [n, C, H, W]`` of pixels: uint8, or floats in [0, 1]; on their device."""
        matrix, mean = self._on(pixels.device)
        scaled = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.float()
        rows: Tensor = (scaled.flatten(1) - mean) @ matrix
        return rows.view(pixels.shape)

    def invert(self, images: Tensor) -> Tensor:
        """Pixels around [0, 1], ``float32 [n, C, H, W]``, of whitened images: the inverse of `apply`, not clamped."""
        flat = images.detach().cpu().flatten(1).double()
        pixels: Tensor = torch.linalg.solve(self.matrix.double(), flat.T).T + self.mean.double()
        return pixels.float().view(images.shape).to(images.device)

    def pictures(self, images: Tensor) -> Tensor:
        """Whitened images as ``uint8 [n, C, H, W]``, rounded and clamped."""
        return self.invert(images).mul_(255).round_().clamp_(0, 255).to(torch.uint8)

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that an artifact stores."""
        return {"zca_matrix": self.matrix, "zca_mean": self.mean}

    @classmethod
    def of(cls, tensors: dict[str, Tensor]) -> "Whitening | None":
        """The whitening among an artifact's tensors, or None if there is none.

        Raises:
            InputError: only half of it is there, or the halves do not fit.
        """
        names = [name for name in ("zca_matrix", "zca_mean") if name in tensors]
        if not names:
            return None
        if len(names) == 1:
            raise InputError.about(names[0], "found without the other half of the whitening")
        return cls(tensors["zca_matrix"], tensors["zca_mean"])

    def fingerprint(self) -> str:
        """SHA-256 over matrix and mean."""
        return checksum(self.tensors())

    def save(self, path: Path, data: str) -> None:
        """Write it as safetensors, with the fingerprint of the data it was fitted to."""
        write_tensors(path, self.tensors(), {"eps": EPS, "data": data})

    @classmethod
    def load(cls, path: Path, data: str) -> "Whitening":
        """Read what `save` wrote for the data of this fingerprint.

        Raises:
            InputError: missing, damaged, not a whitening, or that of other data.
        """
        tensors, meta = read_tensors(path)
        whitening = cls.of(tensors)
        if whitening is None:
            raise InputError.about(path, "holds no whitening (zca_matrix, zca_mean)")
        if meta.get("data") != data:
            raise InputError.about(path, f"was fitted to data {meta.get('data')}, not to {data}")
        return whitening

    def _on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        if device not in self._moved:
            self._moved[device] = (self.matrix.to(device), self.mean.to(device))
        return self._moved[device]


def check_size(numbers: int, large: bool) -> None:
    """Whether images are small enough to be whitened, or large ones are allowed.

    Raises:
        InputError: they are not.
    """
    if numbers > LARGEST and not large:
        raise InputError(
            "whiten",
            "zca",
            f"images of {numbers:,} numbers need a matrix of {4e-9 * numbers**2:,.1f} GB; allowed are {LARGEST:,} "
            "numbers (32x32x3), and more with `whiten='zca-large'`",
        )
