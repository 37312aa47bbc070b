"""Tensors as safetensors files, each with a checksum over all of it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from distillset.errors import InputError, reason
from distillset.store.files import write_atomically
from distillset.store.json_files import parse

HEADER = "distillset"

READING = (SafetensorError, OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError)
"""What reading safetensors may raise: besides its own errors, others for types that PyTorch does not have."""


def checksum(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of ``tensors``, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], meta: Mapping[str, Any] | None = None) -> None:
    """Write tensors and JSON metadata as one safetensors file, atomically, with a checksum over all of it."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(dict(meta or {}), allow_nan=False)
    # One entry only: safetensors writes several in no fixed order, and equal contents should be equal bytes.
    header = {HEADER: json.dumps({"meta": text, "sha256": _seal(plain, text)})}
    write_atomically(path, lambda temporary: save_file(plain, temporary, metadata=header))


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote, and verify it.

    Raises:
        InputError: the file is missing, is not safetensors, or does not match its checksum.
    """
    if not path.is_file():
        raise InputError.about(path, "no such file")
    try:
        with safe_open(path, framework="pt") as file:
            header = parse((file.metadata() or {}).get(HEADER, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except READING as error:
        raise InputError.about(path, f"damaged, or not a safetensors file ({reason(error)})") from None
    text = header.get("meta") if isinstance(header, dict) else None
    if not isinstance(text, str) or header.get("sha256") != _seal(tensors, text):
        raise InputError.about(path, "its checksum does not match; the file is damaged or was changed")
    try:
        meta = parse(text)
    except ValueError as error:
        raise InputError.about(path, f"its header is not readable as JSON ({error})") from None
    return tensors, meta if isinstance(meta, dict) else {}


def glance(path: Path) -> dict[str, Any]:
    """The ``meta`` of what `write_tensors` wrote, without its tensors and not verified; empty if there is none."""
    try:
        if not path.is_file():
            return {}
        with safe_open(path, framework="pt") as file:
            meta = parse(parse((file.metadata() or {})[HEADER])["meta"])
    except (SafetensorError, OSError, ValueError, TypeError, LookupError):
        return {}
    return meta if isinstance(meta, dict) else {}


def _seal(tensors: Mapping[str, torch.Tensor], meta: str) -> str:
    return hashlib.sha256((checksum(tensors) + meta).encode()).hexdigest()
