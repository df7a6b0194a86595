"""LoRA in as few products as it takes: ``y = x W' + s (d(x) A') B'``, forward and backward, for one or many.

PEFT computes the same with a scaled copy and a sum of full-width activations per layer, and autograd keeps
more of them. `FusedLora` gives PEFT's own layers this forward; names, saving and merging stay PEFT's.

Several clients' adapters may be carried at once: their tensors then have a leading client axis, and equal
blocks of tokens belong to one client each. The frozen weight is applied to everybody's tokens in one product.
"""

from __future__ import annotations

import threading
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch import nn
from torch.nn import functional

from shepherd.errors import ShepherdError
from shepherd.model.dropout import Dropout
from shepherd.model.fixed_factors import TurnedB, core_name

_Tensors = Mapping[str, torch.Tensor]


class LoraProduct(torch.autograd.Function):
    """``y = x W' + b + s (d(x) A') B'`` with W and b frozen.

    Shapes: x [tokens, in], W [out, in], b [out], A [rank, in], B [out, rank]; or, for several clients, A
    [clients, rank, in] and B [clients, out, rank], and x holds as many tokens of each. A and B are brought to
    x's dtype for the products, their gradients back. In place where a buffer is its own; the gradient of x is
    not computed where nothing below needs it.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scale: float,
        kept: Callable[[torch.Tensor], torch.Tensor] | None,
    ) -> torch.Tensor:
        """Return y, keeping x and the narrow product d(x) A'; `kept` gives d(x) / x, and gives it again."""
        narrow = _blocks(x if kept is None else x * kept(x), a) @ a.to(x.dtype).mT
        ctx.save_for_backward(x, narrow, weight, a, b)
        ctx.scale, ctx.kept = scale, kept
        y = functional.linear(x, weight, bias)
        _add_product(_blocks(y, a), narrow, b.to(x.dtype).mT, scale)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of x, A and B; W and b have none."""
        x, narrow, weight, a, b = ctx.saved_tensors
        # What dropped out is computed again: it has an address, and as a tensor it would be as large as x.
        kept = None if ctx.kept is None else ctx.kept(x)
        grad = _blocks(grads[0], a)
        inner = (grad @ b.to(x.dtype)).mul_(ctx.scale)
        to_x = None
        if ctx.needs_input_grad[0]:
            to_x = grads[0] @ weight
            if kept is None:
                _add_product(_blocks(to_x, a), inner, a.to(x.dtype))
            else:
                to_x += (inner @ a.to(x.dtype)).view_as(x) * kept
        to_a = None
        if ctx.needs_input_grad[3]:  # A may be fixed
            to_a = (inner.mT @ _blocks(x if kept is None else x * kept, a)).to(a.dtype)
        to_b = (grad.mT @ narrow).mul_(ctx.scale)
        return to_x, None, None, to_a, to_b.to(b.dtype), None, None


def _blocks(tokens: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    """Return [clients, tokens of each, width] where A has a client axis, [tokens, width] where it has none."""
    return tokens if a.dim() == 2 else tokens.view(a.shape[0], -1, tokens.shape[-1])


def _add_product(to: torch.Tensor, one: torch.Tensor, other: torch.Tensor, scale: float = 1.0) -> None:
    if to.dim() == 2:
        to.addmm_(one, other, alpha=scale)
    else:
        to.baddbmm_(one, other, alpha=scale)


class FusedLora:
    """The plain LoRA layers of a PEFT model, with the fused forward.

    Plain is: an unquantised linear layer, one adapter, no variant such as DoRA. Everything else keeps
    PEFT's forward.

    Parameters
    ----------
    model : Module
        A PEFT model; its layers' forwards are replaced in place.

    Attributes
    ----------
    names : list of tuple of str
        What is trained of each layer: its A and B, under the names PEFT saves them by, or R between fixed ones.
    dropout : Dropout or None
        What drops out now in this thread; PEFT's own dropout, from torch's generator, where it is None.
    """

    def __init__(self, model: nn.Module) -> None:
        self._layers = [(n, m) for n, m in model.named_modules() if type(m) is Linear and _is_plain(m)]
        self.names = [_trained(name, layer) for name, layer in self._layers]
        self._of_thread = threading.local()
        self._last: Dropout | None = None
        for number, (_, layer) in enumerate(self._layers):
            layer.carried = None
            layer.forward = types.MethodType(_forward_of(self, number), layer)

    def __len__(self) -> int:
        return len(self._layers)

    @property
    def dropout(self) -> Dropout | None:
        """What drops out now: set in this thread or else last, since a GPU's backward pass has its own threads."""
        return getattr(self._of_thread, "dropout", self._last)

    @dropout.setter
    def dropout(self, dropout: Dropout | None) -> None:
        """Say what drops out from now on in this thread."""
        self._of_thread.dropout = self._last = dropout

    @contextmanager
    def carrying(self, tensors: _Tensors) -> Iterator[None]:
        """Compute with other tensors than the layers' own for a while.

        Parameters
        ----------
        tensors : mapping of str to Tensor
            Every layer's A and B, of any rank, or its R, on the model's device; for several clients with a leading
            client axis.
        """
        self._carry(tensors)
        try:
            yield
        finally:
            self._carry(None)

    def _carry(self, tensors: _Tensors | None) -> None:
        for (_, layer), names in zip(self._layers, self.names, strict=True):
            layer.carried = None if tensors is None else tuple(tensors[name] for name in names)

    @torch.no_grad()
    def change_base(
        self,
        name: str,
        factors: tuple[torch.Tensor, torch.Tensor] | None,
        plain: dict[str, torch.Tensor],
    ) -> None:
        """Let a layer's frozen weight be its own plus ``s U V``, or, without factors, its own again.

        Parameters
        ----------
        name : str
            The layer's, as PEFT saves its tensors by it.
        factors : (Tensor [out, rank], Tensor [rank, in]), optional
            U and V.
        plain : dict of str to Tensor
            The layers' own weights, of those that were ever changed; added to here. What is added to is always
            these, so the bits do not depend on what was added before.
        """
        layer = dict(self._layers).get(name)
        if layer is None:
            raise ShepherdError(
                f"Something is to be added to the base's '{name}', which is no plain linear layer that the run adapts."
            )
        weight = layer.get_base_layer().weight
        own = plain.setdefault(name, weight.detach().clone())
        if factors is None:
            weight.copy_(plain.pop(name))
            return
        left, right = (factor.to(weight.device, torch.float32) for factor in factors)
        scale = layer.scaling[layer.active_adapters[0]]
        weight.copy_(torch.addmm(own.float(), left, right, alpha=scale))


def _is_plain(layer: Any) -> bool:
    if len(layer.active_adapters) != 1 or len(layer.lora_A) != 1:
        return False
    name = layer.active_adapters[0]
    return (
        type(layer.base_layer) is nn.Linear
        and isinstance(layer.lora_dropout[name], nn.Identity | nn.Dropout)
        and not layer.lora_bias[name]
        and name not in layer.lora_variant
    )


def _trained(name: str, layer: Any) -> tuple[str, ...]:
    if isinstance(layer.lora_B[layer.active_adapters[0]], TurnedB):
        return (core_name(name),)
    return f"{name}.lora_A.weight", f"{name}.lora_B.weight"


def _factors(layer: Any, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the A and B that a layer computes with: its own, or those of the clients it carries."""
    a, b = layer.lora_A[name], layer.lora_B[name]
    if layer.carried is None:
        return a.weight, b.weight
    if isinstance(b, TurnedB):
        (core,) = layer.carried
        return a.weight.expand(*core.shape[:-2], -1, -1), b.turned(core)
    own_a, own_b = layer.carried
    return own_a, own_b


def _forward_of(fused: FusedLora, number: int) -> Any:
    def forward(layer: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Compute the layer's output; PEFT's way where ours would not be the same."""
        name = layer.active_adapters[0]
        share = getattr(layer.lora_dropout[name], "p", 0.0) if layer.training else 0.0
        dropout = fused.dropout if share > 0 else None
        unaddressed = share > 0 and dropout is None
        if layer.disable_adapters or layer.merged or kwargs or unaddressed:
            return Linear.forward(layer, x, *args, **kwargs)
        base = layer.base_layer
        a, b = _factors(layer, name)
        flat = x.reshape(-1, x.shape[-1])
        kept = None if dropout is None else partial(dropout.kept, number, share)
        y = LoraProduct.apply(flat, base.weight, base.bias, a, b, layer.scaling[name], kept)
        return y.view(*x.shape[:-1], y.shape[-1])

    return forward
