"""The adapter: what is trained, what travels, what is averaged, what is kept.

An `Adapter` is an ordered set of named float32 tensors under the names PEFT saves them by, laid out in one
vector. It knows arithmetic, its wire form and its PEFT directory. It does not know which model it belongs to; whoever
reads one from outside says what it must look like (`like`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from shepherd.errors import ShepherdError
from shepherd.files import write_directory
from shepherd.vectors import norm

WEIGHTS_FILE = "adapter_model.safetensors"
#: What was trained, where PEFT's file holds what that makes.
TRAINED_FILE = "trained.safetensors"
CONFIG_FILE = "adapter_config.json"
_HEADER_ALLOWANCE = 1 << 20


@dataclass(frozen=True)
class Layout:
    """Where each named tensor lies in an adapter's one vector.

    Attributes
    ----------
    names : tuple of str
        In order.
    shapes : tuple of torch.Size
        One for each name.
    """

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]

    @classmethod
    def of(cls, tensors: Mapping[str, torch.Tensor]) -> Layout:
        """Lay `tensors` out in the order of their names."""
        names = tuple(sorted(tensors))
        return cls(names, tuple(tensors[name].shape for name in names))

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Number of scalars of each tensor."""
        return tuple(shape.numel() for shape in self.shapes)

    @property
    def wire_bytes(self) -> int:
        """Length of the wire form, in bytes; it depends on names and shapes alone."""
        return _wire_bytes(self)

    def gathered(self, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return a copy of all their values, float32 [parameters]."""
        flat = [tensors[name].detach().float().reshape(-1) for name in self.names]
        return torch.cat(flat) if flat else torch.zeros(0)

    def views(self, vector: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the named tensors of a vector [parameters], or [clients, …] of rows of them, sharing memory."""
        parts = vector.split(self.sizes, dim=-1)
        return {
            name: part.view(*vector.shape[:-1], *shape)
            for name, shape, part in zip(self.names, self.shapes, parts, strict=True)
        }


@lru_cache(maxsize=64)
def _wire_bytes(layout: Layout) -> int:
    return len(Adapter.from_vector(layout, torch.zeros(sum(layout.sizes))).to_bytes())


class Adapter(Mapping[str, torch.Tensor]):
    """Named float32 tensors on the CPU, which are one vector; a value, which nobody changes in place.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        PEFT's names to tensors of any floating dtype and device; they are copied to one float32 vector
        on the CPU, in the order of their names.

    Attributes
    ----------
    layout : Layout
        Names and shapes.
    vector : Tensor, [parameters]
        All values; the named tensors are views of it.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.layout = Layout.of(tensors)
        self.vector = self.layout.gathered({name: tensor.cpu() for name, tensor in tensors.items()})

    @classmethod
    def from_vector(cls, layout: Layout, vector: torch.Tensor) -> Adapter:
        """Name the values of a float32 vector on the CPU, which is not copied."""
        adapter = cls.__new__(cls)
        adapter.layout, adapter.vector = layout, vector
        return adapter

    @cached_property
    def _tensors(self) -> dict[str, torch.Tensor]:
        return self.layout.views(self.vector)

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.layout.names)

    def __len__(self) -> int:
        return len(self.layout.names)

    def map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> Adapter:
        """Apply `function` to every tensor."""
        return Adapter({name: function(tensor) for name, tensor in self.items()})

    def __add__(self, other: Adapter) -> Adapter:
        return Adapter.from_vector(self.layout, self.vector + self._alike(other))

    def __sub__(self, other: Adapter) -> Adapter:
        return Adapter.from_vector(self.layout, self.vector - self._alike(other))

    def __mul__(self, factor: float) -> Adapter:
        return Adapter.from_vector(self.layout, self.vector * factor)

    __rmul__ = __mul__

    def _alike(self, other: Adapter) -> torch.Tensor:
        if self.layout is not other.layout and self.layout != other.layout:
            raise ValueError("adapters of different tensors cannot be added")
        return other.vector

    def norm(self) -> float:
        """Return the Euclidean norm over all tensors together, summed in float64."""
        return self._norm

    @cached_property
    def _norm(self) -> float:
        return norm(self.vector)

    @property
    def parameters(self) -> int:
        """Number of scalar parameters."""
        return self.vector.numel()

    @property
    def wire_bytes(self) -> int:
        """Length of the wire form, in bytes."""
        return self.layout.wire_bytes

    def to_bytes(self) -> bytes:
        """Return the wire form: one safetensors buffer, the same bytes for the same values."""
        return save_tensors(dict(self))

    @classmethod
    def from_bytes(cls, data: bytes, like: Adapter, where: str) -> Adapter:
        """Read the wire form of an adapter that must look like `like`.

        Parameters
        ----------
        data : bytes
            A safetensors buffer from outside; nothing about it is trusted.
        like : Adapter
            An adapter with the names and shapes that are expected.
        where : str
            Where the bytes come from, for the message.

        Raises
        ------
        ShepherdError
            If it is too large, not safetensors, or differs in names, shapes, dtypes, or is not finite.
        """
        if len(data) > 4 * like.parameters + _HEADER_ALLOWANCE:
            raise ShepherdError(
                f"{where} has {len(data):,} bytes, more than the {4 * like.parameters:,} an adapter of "
                "this run needs; use the adapter that belongs to this base model and adapter config."
            )
        try:
            tensors = load_tensors(data)
        except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, OverflowError) as error:
            raise ShepherdError(f"{where} is not a safetensors file ({error}); export it again.") from error
        check_like(tensors, like, where)
        return cls(tensors)

    def save(
        self,
        directory: Path,
        peft_config: Mapping[str, Any],
        made: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        """Write a PEFT directory that `PeftModel.from_pretrained` loads.

        Parameters
        ----------
        directory : Path
            Replaced as a whole, atomically.
        peft_config : mapping
            The content of ``adapter_config.json``.
        made : mapping of str to Tensor, optional
            What PEFT's file is to hold instead: what the trained tensors make. They then have a file beside it.
        """

        def fill(folder: Path) -> None:
            """Write the tensors, and the config that PEFT reads."""
            (folder / (WEIGHTS_FILE if made is None else TRAINED_FILE)).write_bytes(self.to_bytes())
            if made is not None:
                (folder / WEIGHTS_FILE).write_bytes(Adapter(made).to_bytes())
            text = json.dumps(dict(peft_config), indent=2, sort_keys=True, default=_jsonable)
            (folder / CONFIG_FILE).write_text(text + "\n")

        write_directory(directory, fill)

    @classmethod
    def load(cls, directory: Path, like: Adapter) -> Adapter:
        """Read a PEFT directory whose adapter must look like `like`; see `from_bytes` for what is refused."""
        path = directory / TRAINED_FILE
        path = path if path.is_file() else directory / WEIGHTS_FILE
        if not path.is_file():
            raise ShepherdError(f"There is no adapter at {path}; give a PEFT directory or finish the run.")
        return cls.from_bytes(path.read_bytes(), like, str(path))


def _jsonable(value: Any) -> Any:
    return sorted(value) if isinstance(value, set) else str(value)


def check_like(tensors: Mapping[str, torch.Tensor], like: Adapter, where: str) -> None:
    """Refuse tensors that differ from `like` in names, shapes or kind, or hold a value that is not finite."""
    if isinstance(tensors, Adapter) and tensors.layout == like.layout and _finite(tensors.vector):
        return
    missing, extra = sorted(set(like) - set(tensors)), sorted(set(tensors) - set(like))
    for names, what in ((missing, "lacks"), (extra, "has the unexpected")):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ShepherdError(
                f"{where} {what} tensor '{names[0]}'{more}; use an adapter with this run's targets."
            )
    for name, tensor in tensors.items():
        if tensor.shape != like[name].shape:
            raise ShepherdError(
                f"{where}: tensor '{name}' has shape {tuple(tensor.shape)}, not "
                f"{tuple(like[name].shape)}; use an adapter with this run's base model and rank."
            )
        if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            raise ShepherdError(f"{where}: tensor '{name}' is {tensor.dtype}; save it as float32.")
        if not _finite(tensor):
            raise ShepherdError(
                f"{where}: tensor '{name}' holds a value that is not finite; lower the learning rate or "
                "use an earlier checkpoint."
            )


def check_vector(value: object, layout: Layout, where: str) -> torch.Tensor:
    """Return a vector of an adapter's size that came from outside.

    Parameters
    ----------
    value : object
        What came; nothing about it is trusted.
    layout : Layout
        The adapter's.
    where : str
        What it is, for the message.

    Raises
    ------
    ShepherdError
        If it is no vector, of another size or dtype than the adapter's, or not finite.
    """
    size = sum(layout.sizes)
    if not isinstance(value, torch.Tensor) or value.shape != (size,) or value.dtype != torch.float32:
        raise ShepherdError(
            f"{where} is not the {size:,} float32 values that the aggregation needs; run every client with this run's "
            "config and this version of shepherd."
        )
    if not _finite(value):
        raise ShepherdError(f"{where} is not finite; lower training.lr or set training.clip_norm.")
    return value


def _finite(tensor: torch.Tensor) -> bool:
    # What is not finite shows in the sum, which is many times faster; a sum may also overflow.
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())
