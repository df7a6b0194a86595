"""LoRA between whose fixed factors a small square matrix is trained: ``W0 + s B R A``, of which R alone is trained.

For PEFT's layers it is LoRA whose second factor is the product B R, so that computing, merging and saving stay theirs.
The fixed factors are buffers and no parameters: PEFT lets all parameters of an adapter be trained when it is switched
off and on again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import peft
import torch
from peft.tuners.lora.layer import LoraLayer
from torch import nn

from shepherd.errors import ShepherdError
from shepherd.model.attached import PeftLayers
from shepherd.model.lora_pairs import Pair

if TYPE_CHECKING:
    from shepherd.model.kinds import LoraSB

_PEFT_NAME = "default"
#: How often the base's leading directions are brought nearer. Only what they span counts, since R is any matrix; after
#: as many it holds 93 to 98 % of the energy that the 32 leading singular vectors of lamb's weights do.
_SWEEPS = 4


class TurnedB(nn.Module):
    """In the place of LoRA's B: the fixed one times what is trained.

    Parameters
    ----------
    fixed : Tensor, [out, rank]
        B.

    Attributes
    ----------
    core : Parameter, [rank, rank]
        R, zero at first.
    """

    fixed: torch.Tensor

    def __init__(self, fixed: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("fixed", fixed)
        self.core = nn.Parameter(torch.zeros(fixed.shape[1], fixed.shape[1], device=fixed.device))

    def turned(self, core: torch.Tensor) -> torch.Tensor:
        """Return B R, [out, rank]; of several R [clients, rank, rank] as many."""
        return self.fixed @ core

    @property
    def weight(self) -> torch.Tensor:
        """B R, as PEFT asks for LoRA's B."""
        return self.turned(self.core)

    def forward(self, narrow: torch.Tensor) -> torch.Tensor:
        """Apply it to A's outputs [..., rank]."""
        return nn.functional.linear(narrow, self.weight)


class FixedFactors(PeftLayers):
    """LoRA's layers, of which only R is trained.

    Parameters
    ----------
    model : PeftModel
        A base with LoRA in it.
    kind : LoraSB
        Where the fixed factors come from.
    name : str
        The base's, for messages.

    Raises
    ------
    ShepherdError
        If a layer is not linear, or narrower than the rank.
    """

    saves_what_it_makes = True

    def __init__(self, model: peft.PeftModel, kind: LoraSB, name: str) -> None:
        layers = {module: layer for module, layer in model.named_modules() if isinstance(layer, LoraLayer)}
        for module, layer in layers.items():
            _check(module, layer, kind.rank, name)
        self._layers = layers
        for layer in layers.values():
            _fix(layer, kind)
        super().__init__(model)
        self.parameters = {
            core_name(module): layer.lora_B[_PEFT_NAME].core for module, layer in layers.items()
        }

    def made(self) -> dict[str, torch.Tensor]:
        """Return A and B R of every module, which are ordinary LoRA."""
        found = {}
        for module, layer in self._layers.items():
            pair = Pair(module)
            found[pair.a] = layer.lora_A[_PEFT_NAME].weight.detach().float().cpu().clone()
            found[pair.b] = layer.lora_B[_PEFT_NAME].weight.detach().float().cpu()
        return found

    def drawn(self) -> torch.Tensor:
        """Return the fixed factors of the first module and of the last."""
        ends = list(self._layers.values())[:: max(1, len(self._layers) - 1)]
        factors = [
            part
            for layer in ends
            for part in (layer.lora_A[_PEFT_NAME].weight, layer.lora_B[_PEFT_NAME].fixed)
        ]
        return torch.cat([factor.detach().float().cpu().flatten() for factor in factors])

    def counts(self) -> tuple[int, int]:
        """Return the numbers of frozen and of trainable parameters; the fixed factors count as frozen."""
        frozen, trainable = super().counts()
        fixed = sum(
            layer.lora_A[_PEFT_NAME].weight.numel() + layer.lora_B[_PEFT_NAME].fixed.numel()
            for layer in self._layers.values()
        )
        return frozen + fixed, trainable


def core_name(module: str) -> str:
    """Return the name of a module's R."""
    return f"{module}.lora_R.weight"


def _check(module: str, layer: Any, rank: int, base: str) -> None:
    a = dict(layer.lora_A).get(_PEFT_NAME)  # an embedding has factors of its own
    if not isinstance(a, nn.Linear):
        raise ShepherdError(
            f"adapter.name=lora_sb fits linear layers, and '{module}' of '{base}' is none; take it out of "
            "adapter.targets, or choose adapter.name=lora."
        )
    narrowest = min(layer.in_features, layer.out_features)
    if rank > narrowest:
        raise ShepherdError(
            f"adapter.rank is {rank}, and '{module}' of '{base}' is only {narrowest} wide, in which there are no more "
            "directions; lower it, or choose other adapter.targets."
        )


@torch.no_grad()
def _fix(layer: Any, kind: LoraSB) -> None:
    """Give a layer its fixed factors, computed in float64, and R between them."""
    linear = layer.lora_A[_PEFT_NAME]
    # Whatever the directions, drawn for every layer, on the CPU: the same numbers on all machines.
    a = _orthonormal(torch.randn(layer.in_features, kind.rank, dtype=torch.float64))
    b = _orthonormal(torch.randn(layer.out_features, kind.rank, dtype=torch.float64))
    if kind.directions == "base":
        own = layer.get_base_layer().weight.detach().to("cpu", torch.float64)
        weight = own.T if layer.fan_in_fan_out else own
        for _ in range(_SWEEPS):
            b = _orthonormal(weight @ a)
            a = _orthonormal(weight.T @ b)
    device = linear.weight.device
    del linear.weight
    linear.register_buffer("weight", a.T.to(device, torch.float32).contiguous())
    layer.lora_B[_PEFT_NAME] = TurnedB(b.to(device, torch.float32))


def _orthonormal(columns: torch.Tensor) -> torch.Tensor:
    """Return the orthonormal columns of the same span that a QR decomposition has but for signs, which are fixed."""
    basis, upper = torch.linalg.qr(columns)
    signs = torch.where(upper.diagonal() < 0, -1.0, 1.0)
    return basis * signs.to(basis)
