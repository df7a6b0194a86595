"""Hidden states caught on their way through a backbone, of the layers and tokens that are wanted.

Numbered as in transformers' ``hidden_states``: 0 is what the first layer gets, a later number what the layer of that
number gets, and the last the backbone's final output. transformers would keep all of them, for all tokens.
Nothing is known here of examples, prefixes or what the states are for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
from torch import nn

from shepherd.errors import ShepherdError

_Computed = TypeVar("_Computed")
_Pick = Callable[[torch.Tensor], torch.Tensor]


class HiddenStates:
    """The hidden states of one backbone.

    Whether the layers that were found are all there is, each run once and in order, is found out by trying. Where
    they are not, transformers is asked for its ``hidden_states``.

    Parameters
    ----------
    backbone : Module
        The transformer below the head.
    layers : sequence of Module
        What is taken for its layers.
    device : torch.device
        Where it is.

    Attributes
    ----------
    widths : list of int
        The size of every hidden state, from the embeddings to the output.
    """

    def __init__(self, backbone: Any, layers: Sequence[nn.Module], device: torch.device) -> None:
        self._backbone = backbone
        self._layers, self._hooked = layers, True
        self._of_thread = threading.local()
        tokens = (torch.arange(8, device=device) % 5).view(2, 4)
        self.widths = self._widths_by_hooks(tokens)
        if not self.widths:
            self._hooked = False
            self.widths = self._widths_by_transformers(tokens)

    @contextmanager
    def catching(self, numbers: Sequence[int]) -> Iterator[None]:
        """Catch the states of `numbers` of all that is computed within, and compute no layer above them.

        What stops before the end returns None in place of the backbone's output.
        """
        # Not only hooks: whoever calls the backbone, a shared prefix for one, is not to see that it stopped.
        backbone, own = self._backbone, vars(self._backbone).get("forward")
        hooks = []
        for number in set(numbers) if self._hooked else ():
            if number < len(self._layers):
                hook = partial(self._before_layer, number, number == max(numbers))
                hooks.append(self._layers[number].register_forward_pre_hook(hook, with_kwargs=True))
        backbone.forward = partial(self._forward, backbone.forward, numbers)
        try:
            yield
        finally:
            del backbone.forward
            if own is not None:
                backbone.forward = own
            for handle in hooks:
                handle.remove()

    def caught(
        self, pick: _Pick, compute: Callable[..., _Computed], *args: Any, **kwargs: Any
    ) -> tuple[Mapping[int, torch.Tensor], _Computed]:
        """Return what `pick` makes of each state that is caught while computing, in this thread, and the result.

        Parameters
        ----------
        pick : callable
            Takes a hidden state, [rows, length, size], and returns what is to be kept of it.
        compute : callable
            What runs the backbone, once or not at all, with its arguments.
        """
        found: dict[int, torch.Tensor] = {}
        self._of_thread.keep = lambda number, state: found.update({number: pick(state)})
        try:
            return found, compute(*args, **kwargs)
        finally:
            del self._of_thread.keep

    def _before_layer(
        self, number: int, stop: bool, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._of_thread.keep(number, args[0] if args else kwargs["hidden_states"])
        if stop:
            raise _NothingAboveIsWanted

    def _forward(self, forward: Callable[..., Any], numbers: Sequence[int], *args: Any, **kwargs: Any) -> Any:
        if not self._hooked:
            output = forward(*args, **kwargs, output_hidden_states=True)
            for number in set(numbers):
                self._of_thread.keep(number, output.hidden_states[number])
            return output
        try:
            output = forward(*args, **kwargs)
        except _NothingAboveIsWanted:
            return None
        if len(self._layers) in numbers:
            self._of_thread.keep(len(self._layers), output.last_hidden_state)
        return output

    def _widths_by_hooks(self, tokens: torch.Tensor) -> list[int]:
        """Return the states' sizes if the hooks see them as they should be; nothing if they do not."""
        count = len(self._layers)
        if count == 0 or getattr(self._backbone.config, "num_hidden_layers", count) != count:
            return []
        try:
            with self.catching(range(count + 1)):
                found, _ = self.caught(lambda state: state, self._backbone, input_ids=tokens)
            in_order = list(found) == list(range(count + 1))
            in_shape = all(state.dim() == 3 and state.shape[:2] == tokens.shape for state in found.values())
        except Exception:  # a trial: whatever goes wrong, the answer is no
            return []
        return [state.shape[-1] for state in found.values()] if in_order and in_shape else []

    def _widths_by_transformers(self, tokens: torch.Tensor) -> list[int]:
        try:
            states = self._backbone(input_ids=tokens, output_hidden_states=True).hidden_states
            return [state.shape[-1] for state in states]
        except Exception as error:  # a trial: whatever goes wrong, there are no states to be had
            raise ShepherdError(
                f"Features cannot be read from a {type(self._backbone).__name__}: it shows no hidden states; choose "
                "another model."
            ) from error


class _NothingAboveIsWanted(Exception):
    """The last layer that is needed has been computed: no error, but how a computation ends early."""
