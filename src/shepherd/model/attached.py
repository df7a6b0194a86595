"""A base with an adapter in it: all that the kinds of adapter differ in, and PEFT's own layers.

It knows one base and its adapter's tensors. How these lie in one vector, and how rows become losses, is
`AdaptedModel`'s matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import peft
import torch
from torch import nn

from shepherd.errors import ShepherdError, first_line
from shepherd.model.base import Base

if TYPE_CHECKING:
    from shepherd.model.kinds import AdapterKind

_PEFT_NAME = "default"
#: How many names of modules a sentence shows.
_SHOWN = 10

#: Keys and values of one layer, [rows, heads, tokens, width].
Pair = tuple[torch.Tensor, torch.Tensor]


class Attached:
    """A base that is adapted.

    Attributes
    ----------
    peft : Module
        The model, with the ways of a PEFT model.
    parameters : dict of str to Parameter
        What is trained, under the names PEFT saves it by.
    forward : str
        Who computes with the adapter, for ``environment.json``.
    steady : bool
        Whether computing changes nothing in the model, so that threads may share it.
    begins_as_base : bool
        Whether its first values are the base's own: with them in it the model is the untuned base.
    dropout : float
        The share of the adapter's inputs that drop out in training.
    saves_what_it_makes : bool
        Whether PEFT's file is to hold what a trained network makes, and not the network.
    """

    forward: ClassVar[str] = "peft"
    steady: ClassVar[bool] = False
    begins_as_base: ClassVar[bool] = False

    peft: Any
    parameters: dict[str, nn.Parameter]
    dropout: float = 0.0
    saves_what_it_makes: bool = False

    def config(self) -> dict[str, Any]:
        """Return the content of ``adapter_config.json``, but for the base's name."""
        raise NotImplementedError

    def embedded(self, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return what the model takes for rows that nothing comes before; it may be longer than they are."""
        return {"input_ids": tokens}

    def first_past(self) -> list[Pair]:
        """Return each layer's keys and values before the first token, of one row; nothing unless they are trained."""
        return []

    def drawn(self) -> torch.Tensor:
        """Return some of the values that are drawn from a seed and are no parameters, [values], on the CPU."""
        return torch.zeros(0)

    def written(self) -> None:
        """Take up new values of the parameters; called after every change from outside of training."""

    @contextmanager
    def untuned(self) -> Iterator[None]:
        """Compute what the base itself does."""
        with self.peft.disable_adapter():
            yield

    def made(self) -> dict[str, torch.Tensor]:
        """Return what PEFT's file is to hold, on the CPU, of an adapter that `saves_what_it_makes`."""
        raise NotImplementedError

    def counts(self) -> tuple[int, int]:
        """Return the numbers of frozen and of trainable parameters."""
        trainable = sum(p.numel() for p in self.parameters.values())
        return self.peft.get_nb_trainable_parameters()[1] - trainable, trainable

    def merged(self) -> Any:
        """Return a plain model that computes the same; this one is used up."""
        raise NotImplementedError

    def unload(self) -> None:
        """Leave the base as it was; the parameters hold their first values."""


class PeftLayers(Attached):
    """An adapter within the base's layers, put there by PEFT."""

    def __init__(self, model: peft.PeftModel) -> None:
        self.peft = model
        self._config = model.peft_config[_PEFT_NAME]
        self.dropout = getattr(self._config, "lora_dropout", 0.0)
        self.parameters = _named_as_saved(model)

    def config(self) -> dict[str, Any]:
        """Return PEFT's configuration, in inference mode as PEFT saves it."""
        return {**self._config.to_dict(), "inference_mode": True}

    def merged(self) -> Any:
        """Return the base with the adapter in its weights."""
        return self.peft.merge_and_unload(safe_merge=True)

    def unload(self) -> None:
        """Take PEFT's layers out of the base."""
        self.peft.unload()


class BareModel(nn.Module):
    """A base without PEFT, with those ways of a PEFT model that others use.

    Parameters
    ----------
    causal : PreTrainedModel
        The base.
    """

    def __init__(self, causal: Any) -> None:
        super().__init__()
        self.base_model = causal

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Do what the base does."""
        return self.base_model(*args, **kwargs)

    def get_base_model(self) -> Any:
        """Return the base."""
        return self.base_model

    @property
    def active_peft_config(self) -> None:
        """Nothing: PEFT has no part in it."""
        return

    @property
    def generation_config(self) -> Any:
        """The base's settings of generation."""
        return self.base_model.generation_config

    @generation_config.setter
    def generation_config(self, config: Any) -> None:
        """Set them at the base."""
        self.base_model.generation_config = config

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "base_model":  # before there is one
                raise
            return getattr(self.base_model, name)


class BareBase(Attached):
    """An adapter that changes the base's own weights, without PEFT: its first values are the base as it is.

    Parameters
    ----------
    base : Base
        The base.
    kind : AdapterKind
        What is done with it; ``adapter_config.json`` says so.
    """

    forward: ClassVar[str] = "base"
    steady: ClassVar[bool] = True
    begins_as_base: ClassVar[bool] = True

    def __init__(self, base: Base, kind: AdapterKind) -> None:
        self.peft = BareModel(base.model)
        self._kind = kind

    def config(self) -> dict[str, Any]:
        """Return what Shepherd needs to put the tensors back; PEFT cannot load them."""
        return {"shepherd_adapter": self._kind.model_dump(mode="json")}

    def merged(self) -> Any:
        """Return the base, whose weights are the tuned ones."""
        return self.peft.get_base_model().requires_grad_(False)


def attach_peft(base: Base, config: peft.PeftConfig) -> Attached:
    """Put a PEFT adapter into a base.

    Raises
    ------
    ShepherdError
        If it does not fit the base.
    """
    from shepherd.model.virtual_tokens import EmbeddedTokens, PastTokens

    try:
        model = peft.get_peft_model(base.model, config, adapter_name=_PEFT_NAME)
    except ValueError as error:
        known = sorted(linear_names(base))
        others = f" Its linear layers are {', '.join(known[:_SHOWN])}." if known else ""
        raise ShepherdError(
            f"The adapter does not fit '{base.name}': {first_line(error)}{others} Change adapter.targets."
        ) from error
    if not config.is_prompt_learning:
        return PeftLayers(model)
    kind = PastTokens if config.peft_type == peft.PeftType.PREFIX_TUNING else EmbeddedTokens
    return kind(model, base)


def linear_names(base: Base) -> set[str]:
    """Return the last words of the names of a base's linear layers, but for its head's."""
    head = base.model.get_output_embeddings()
    return {
        name.rpartition(".")[2]
        for name, module in base.model.named_modules()
        if module is not head and (isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D")
    }


def _named_as_saved(model: peft.PeftModel) -> dict[str, nn.Parameter]:
    """Return the trained parameters under the names PEFT saves them by, which it is asked for."""
    saved = peft.get_peft_model_state_dict(model, adapter_name=_PEFT_NAME, save_embedding_layers=False)
    names = {tensor.data_ptr(): name for name, tensor in saved.items()}
    return {
        names.get(parameter.data_ptr(), name.replace(f".{_PEFT_NAME}.", ".")): parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
