"""Trees: nested mappings of tensors and JSON values, what states and messages are made of; and their bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import load, save

Tree = Mapping[str, Any]
_VALUES = "$values"
#: Bytes that safetensors' header has of one tensor, beside its name, at most; shapes have few axes.
_OF_EACH = 256


def pack(value: Any, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    """Return `value` as JSON, its tensors moved into `tensors` under their paths."""
    if isinstance(value, torch.Tensor):
        tensors[path] = value
        return {"$tensor": path}
    if isinstance(value, Mapping):
        return {str(key): pack(inner, f"{path}/{key}", tensors) for key, inner in value.items()}
    return value


def unpack(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """Undo `pack`."""
    if isinstance(value, dict):
        if set(value) == {"$tensor"}:
            return tensors[value["$tensor"]]
        return {key: unpack(inner, tensors) for key, inner in value.items()}
    return value


def to_bytes(tree: Tree) -> bytes:
    """Return `tree` as one safetensors buffer, the same bytes for the same values in whatever order."""
    tensors: dict[str, torch.Tensor] = {}
    text = json.dumps(pack(tree, "tree", tensors), sort_keys=True)
    tensors[_VALUES] = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
    return save_tensors(tensors)


def most_bytes(tree: Tree) -> int:
    """Return how many bytes `to_bytes` makes of `tree` at most, a few hundred a tensor too many; none is copied."""
    tensors: dict[str, torch.Tensor] = {}
    text = json.dumps(pack(tree, "tree", tensors))
    named = sum(tensor.nbytes + len(json.dumps(path)) for path, tensor in tensors.items())
    return named + len(text) + _OF_EACH * (len(tensors) + 1)


def save_tensors(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """Return tensors as one safetensors buffer; those that share memory, which it refuses, are copied apart."""
    apart: dict[str, torch.Tensor] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.contiguous() if place not in taken else tensor.clone().contiguous()
        taken.add(place)
    return save(apart)


def from_bytes(data: bytes) -> dict[str, Any]:
    """Undo `to_bytes`."""
    tensors = load(data)
    values = json.loads(tensors.pop(_VALUES).numpy().tobytes())
    tree: dict[str, Any] = unpack(values, tensors)
    return tree
