"""LoRA in as few products as it takes: ``y = x W' + s (x A') B'``, forward and backward.

PEFT computes the same with a scaled copy and a sum of full-width activations per layer, and autograd keeps
more of them. `fuse` gives PEFT's own layers this forward; names, saving and merging stay PEFT's.
"""

from __future__ import annotations

import types
from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch import nn
from torch.nn import functional


class LoraProduct(torch.autograd.Function):
    """``y = x W' + b + s (x A') B'`` with W and b frozen.

    Shapes: x [tokens, in], W [out, in], b [out], A [rank, in], B [out, rank]. In place where a buffer is
    its own; the gradient of x is not computed where nothing below needs it.
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
    ) -> torch.Tensor:
        """Return y, keeping x and the narrow product x A'."""
        narrow = x @ a.t()
        ctx.save_for_backward(x, narrow, weight, a, b)
        ctx.scale = scale
        return functional.linear(x, weight, bias).addmm_(narrow, b.t(), alpha=scale)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of x, A and B; W and b have none."""
        (grad,) = grads
        x, narrow, weight, a, b = ctx.saved_tensors
        inner = (grad @ b).mul_(ctx.scale)
        to_x = (grad @ weight).addmm_(inner, a) if ctx.needs_input_grad[0] else None
        to_a = inner.t() @ x
        to_b = (grad.t() @ narrow).mul_(ctx.scale)
        return to_x, None, None, to_a, to_b, None


def fuse(model: nn.Module) -> int:
    """Give every plain LoRA layer of a PEFT model the fused forward; return how many there were.

    Plain is: an unquantised linear layer of the adapter's own dtype, one adapter, no dropout, no variant
    such as DoRA. Everything else keeps PEFT's forward.
    """
    layers = [module for module in model.modules() if type(module) is Linear and _is_plain(module)]
    for layer in layers:
        layer.forward = types.MethodType(_fused_forward, layer)
    return len(layers)


def _is_plain(layer: Any) -> bool:
    if len(layer.active_adapters) != 1 or len(layer.lora_A) != 1:
        return False
    name = layer.active_adapters[0]
    return (
        type(layer.base_layer) is nn.Linear
        and isinstance(layer.lora_dropout[name], nn.Identity)
        and not layer.lora_bias[name]
        and name not in layer.lora_variant
        and layer.base_layer.weight.dtype == layer.lora_A[name].weight.dtype
    )


def _fused_forward(layer: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    if layer.disable_adapters or layer.merged or kwargs:
        return Linear.forward(layer, x, *args, **kwargs)
    name = layer.active_adapters[0]
    base = layer.base_layer
    flat = x.reshape(-1, x.shape[-1])
    y = LoraProduct.apply(
        flat,
        base.weight,
        base.bias,
        layer.lora_A[name].weight,
        layer.lora_B[name].weight,
        layer.scaling[name],
    )
    return y.view(*x.shape[:-1], y.shape[-1])
