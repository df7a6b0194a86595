"""A base model with an adapter in it: swap the adapter, ask for losses. One per process, kept loaded."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers.cache_utils import DynamicCache

from shepherd.errors import ShepherdError
from shepherd.model.adapter import Adapter, Layout, check_like
from shepherd.model.base import Base
from shepherd.model.batch import Batch
from shepherd.model.exported import read_exported
from shepherd.model.kinds import AdapterKind
from shepherd.model.layers import RepeatedLayers
from shepherd.model.lora import FusedLora
from shepherd.model.prefix import SharedPrefix, before_every_row
from shepherd.model.residual import check_residual
from shepherd.model.residual import from_tree as residual_factors
from shepherd.model.stack import Carried
from shepherd.model.traits import drops_out, positions_depend_on_length
from shepherd.model.trials import (
    compiled_layers_are_exact,
    head_is_plain,
    prefixes_are_exact,
    stacks_are_exact,
)
from shepherd.randomness import torch_seed
from shepherd.tree import Tree

log = logging.getLogger(__name__)
_PREFIX_COSTS = {"cpu": 32}
#: Logits in memory at once, at most (but one row's): a quarter of a GiB in float32.
_MOST_LOGITS = 2**26


class AdaptedModel:
    """A base with trainable tensors in it, before it, or of its own.

    Parameters
    ----------
    base : Base
        The loaded base model; it is changed in place, PEFT's way.
    kind : AdapterKind
        What to attach.
    seed : int
        The run's seed; the adapter's first values are drawn from it.

    Attributes
    ----------
    attached : Attached
        All that the kinds of adapter differ in.
    peft : Module
        The model, with the ways of a PEFT model.
    parameters : dict of str to Parameter
        The trainable tensors under the names PEFT saves them by.
    layout : Layout
        Where each of them lies in `vector`.
    vector, gradient : Tensor, [parameters]
        Their values, on the model's device, of which the parameters are views; and room for a gradient.
    alone : Carried
        The model's own parameters as what one client trains; made once, since it is asked for by every client.
    initial : Adapter
        The adapter before any training.
    drops_out : bool
        Whether training differs from evaluation at all: something drops out.
    layers : RepeatedLayers
        The base's layers, to be run another way.
    most_clients, most_tokens : int
        Clients at once, and padded tokens in a micro-batch, that this device has not run out of memory with.
    """

    def __init__(self, base: Base, kind: AdapterKind, seed: int) -> None:
        self.base = base
        self.device = base.device
        self.tokenizer = base.tokenizer
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            torch.manual_seed(torch_seed(seed, "adapter"))
            warnings.simplefilter("ignore")
            self.attached = kind.attach(base)
        # PEFT attaches its layers in training mode; outside of training nothing drops out.
        self.peft: Any = self.attached.peft.eval()
        self.lora = FusedLora(self.peft)
        self.most_clients = self.most_tokens = sys.maxsize
        self.parameters = self.attached.parameters
        self.layout = Layout.of(self.parameters)
        self.vector = self.layout.gathered(self.parameters)
        for name, view in self.layout.views(self.vector).items():
            self.parameters[name].data = view
        self.gradient = torch.zeros_like(self.vector)
        self.alone = Carried(
            [self.parameters[name] for name in self.layout.names],
            list(self.layout.views(self.gradient).values()),
        )
        self.initial = self.read()
        self._rests_on: Tree = {}
        self._plain_weights: dict[str, torch.Tensor] = {}
        self.layers = RepeatedLayers(self.backbone, self.device)
        self._narrow = head_is_plain(self._causal, self.backbone, self.device)
        self._base_drops_out = drops_out(self._causal)
        self._positions_depend_on_length = positions_depend_on_length(self._causal)
        self.drops_out = self._base_drops_out or self.attached.dropout > 0

    @cached_property
    def carries_stacks(self) -> bool:
        """Whether several clients' adapters can be trained at once; tried, and said, when first asked."""
        if not self._fused_throughout:
            reason = "the adapter is more than LoRA on plain linear layers"
        elif self._base_drops_out:
            reason = "the base itself drops something out"
        elif not stacks_are_exact(self):
            reason = "they were tried, and did not give what each client gives alone"
        else:
            return True
        log.warning("Clients are trained one after another: adapters cannot be stacked here (%s).", reason)
        return False

    @cached_property
    def compiles(self) -> bool:
        """Whether the layers can be compiled; tried when first asked, which compiles them."""
        return not self.drops_out and compiled_layers_are_exact(self)

    @property
    def lanes(self) -> int:
        """How many batches may be computed at once in threads: as many as there are cores on a CPU.

        One on a GPU, which fills itself; where something that drops out is drawn from torch's generator; where
        layers are PEFT's own, which may swap parameters on the way; and where the base changes its own buffers.
        """
        steady = self._fused_throughout or self.attached.steady
        changed = not steady or self._positions_depend_on_length
        alone = self.device.type != "cpu" or self._base_drops_out or changed
        return 1 if alone else torch.get_num_threads()

    @cached_property
    def prefix_cost(self) -> int | None:
        """What one more pass over a shared prefix costs here beyond its own tokens, in tokens.

        It is the time of starting its kernels. None where sharing would not be exact; tried when first asked. It
        never is in training where something drops out: every row loses other values of the prefix.
        """
        exact = not self._positions_depend_on_length and prefixes_are_exact(self)
        return _PREFIX_COSTS.get(self.device.type, 512) if exact else None

    @property
    def forward(self) -> str:
        """Who computes with the adapter: fused LoRA, PEFT's layers, the backbone behind virtual tokens, the base."""
        return "fused LoRA" if self._fused_throughout else self.attached.forward

    def read(self) -> Adapter:
        """Copy the adapter out of the model.

        Raises
        ------
        ShepherdError
            If somebody replaced the parameters' memory, so that what was trained is not here.
        """
        here = self.vector.untyped_storage().data_ptr()
        if any(p.untyped_storage().data_ptr() != here for p in self.parameters.values()):
            raise ShepherdError(
                "The trainer moved the adapter's tensors away from the model's memory; train them in place, "
                "without sharding or casting the model."
            )
        return Adapter.from_vector(self.layout, self.vector.to("cpu", copy=True))

    def write(self, adapter: Adapter) -> None:
        """Copy `adapter` into the model, after checking that it fits it tensor by tensor."""
        check_like(adapter, self.initial, "The adapter to load")
        self.vector.copy_(adapter.vector)
        self.attached.written()

    def rest_on(self, residual: Tree) -> None:
        """Add what a federated rule adds to the base's weights; the adapter is trained on top of it.

        Parameters
        ----------
        residual : Tree
            By module the factors of ``U V``, which LoRA's scale multiplies; see `shepherd.model.residual`.

        Raises
        ------
        ShepherdError
            If they are no such factors, or a module is not one that the adapter adapts.
        """
        if residual is self._rests_on or not (residual or self._plain_weights):
            return
        check_residual(residual, self.layout)
        self._rests_on = {}  # should it fail half way, the next time begins with what every layer was
        for name, pair in residual_factors(residual).items():
            self.lora.change_base(name, pair, self._plain_weights)
        for name in set(self._plain_weights) - set(residual):
            self.lora.change_base(name, None, self._plain_weights)
        self._rests_on = residual

    @contextmanager
    def resting_on(self, residual: Tree) -> Iterator[None]:
        """Rest on something else for a while; see `rest_on`."""
        before = self._rests_on
        self.rest_on(residual)
        try:
            yield
        finally:
            self.rest_on(before)

    def check_can_rest(self, who: str, instead: str) -> None:
        """Refuse, by a `ShepherdError`, a base that `who` cannot add to: an adapted layer is not a plain linear one."""
        if not self._fused_throughout:
            plain = {name for names in self.lora.names for name in names}
            name = next(name for name in self.layout.names if name not in plain)
            raise ShepherdError(
                f"{who} adds to the base's weights, and '{name}' belongs to no plain linear layer; choose other "
                f"adapter.targets, or {instead}."
            )

    def load(self, directory: Path) -> None:
        """Take over what a run left in its adapter directory: its adapter, and what it added to the base."""
        adapter, residual = read_exported(directory, self.initial)
        self.rest_on(residual)
        self.write(adapter)

    @property
    def rests_on(self) -> Tree:
        """What is added to the base's weights now; see `rest_on`."""
        return self._rests_on

    @contextmanager
    def untuned(self) -> Iterator[None]:
        """Be the base as it was loaded, without adapter and without anything added."""
        plain = self._with_initial() if self.attached.begins_as_base else self.attached.untuned()
        with self.resting_on({}), plain:
            yield

    @contextmanager
    def _with_initial(self) -> Iterator[None]:
        before = self.read()
        self.write(self.initial)
        try:
            yield
        finally:
            self.write(before)

    def merged(self) -> Any:
        """Return a plain model that computes the same, for a directory of its own; this one is used up.

        Raises
        ------
        ShepherdError
            If the adapter is not in weights.
        """
        dtype, residual = self.base.model.dtype, self._rests_on
        # Merged in float32, what was added to the base anew too, so that it is rounded once.
        self.rest_on({})
        self.peft.float()
        self.rest_on(residual)
        return self.attached.merged().to(dtype)

    def unload(self) -> Base:
        """Return the base as it was loaded, for somebody who changes it; this model is used up."""
        self.rest_on({})
        self.write(self.initial)
        self.attached.unload()
        return self.base

    def exported(self, adapter: Adapter) -> dict[str, torch.Tensor] | None:
        """Return what PEFT's file is to hold of `adapter`; None where that is the adapter itself."""
        if not self.attached.saves_what_it_makes:
            return None
        before = self.read()
        self.write(adapter)
        try:
            return self.attached.made()
        finally:
            self.write(before)

    def peft_config(self) -> dict[str, Any]:
        """Return the content of ``adapter_config.json``: PEFT's, in inference mode, or what Shepherd needs instead."""
        return {
            **self.attached.config(),
            "base_model_name_or_path": self.base.model.config.name_or_path,
        }

    def counts(self) -> tuple[int, int]:
        """Return the numbers of frozen and of trainable parameters."""
        return self.attached.counts()

    def inputs(self, tokens: torch.Tensor, prefix: SharedPrefix | None = None) -> tuple[dict[str, Any], int]:
        """Return what the backbone, or the whole model, takes for some rows.

        Parameters
        ----------
        tokens : LongTensor, [rows, length]
            The rows.
        prefix : SharedPrefix, optional
            What comes before every row, virtual tokens included.

        Returns
        -------
        dict, int
            The arguments, and how many positions of what comes out belong to virtual tokens, at the beginning.
        """
        if prefix is not None:
            return {"input_ids": tokens, "use_cache": True, "past_key_values": prefix.cache()}, 0
        given: dict[str, Any] = self.attached.embedded(tokens)
        pairs = self.attached.first_past()
        given |= (
            {"use_cache": True, "past_key_values": before_every_row(pairs)} if pairs else {"use_cache": False}
        )
        virtual = given["inputs_embeds"].shape[1] - tokens.shape[1] if "inputs_embeds" in given else 0
        return given, virtual

    @torch.no_grad()
    def past_of_answers(self, rows: int) -> DynamicCache | None:
        """Return what stands before the prompts of so many answers; None where nothing does, or it cannot grow."""
        pairs, nothing = self.attached.first_past(), torch.zeros(1, 0, dtype=torch.int64, device=self.device)
        given = self.attached.embedded(nothing)
        if (not pairs and "inputs_embeds" not in given) or self.prefix_cost is None:
            return None
        past = DynamicCache()
        for number, (keys, values) in enumerate(pairs):
            past.update(keys, values, number)
        if "inputs_embeds" in given:
            self.backbone(**given, past_key_values=past, use_cache=True)
        past.batch_repeat_interleave(rows)
        return past

    def token_losses(self, batch: Batch, prefix: SharedPrefix | None = None) -> torch.Tensor:
        """Return the cross-entropy of every label, in nats, float32 [labels].

        The head is applied only where there is a label; the rest of the logits is never made.

        Parameters
        ----------
        batch : Batch
            The rows.
        prefix : SharedPrefix, optional
            What comes before every row, if the batch was made without it.
        """
        given, virtual = self.inputs(batch.tokens, prefix)
        self.lora.dropout = batch.dropout
        if not self._narrow:
            logits = self._causal(**given).logits[:, virtual:]
            return _cross_entropy(logits.flatten(0, 1)[batch.positions], batch.targets)
        hidden = self.backbone(**given).last_hidden_state[:, virtual:]
        hidden = hidden.flatten(0, 1)[batch.positions]
        rows = max(1, _MOST_LOGITS // self.vocabulary)
        if len(hidden) <= rows:
            return self._label_losses(hidden, batch.targets)
        # Of many labels or a large vocabulary a part of the logits at a time, made again for the backward pass.
        parts = zip(hidden.split(rows), batch.targets.split(rows), strict=True)
        return torch.cat([checkpoint(self._label_losses, *part, use_reentrant=False) for part in parts])

    def _label_losses(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return _cross_entropy(self._head(hidden), targets)

    def prefix(self, tokens: np.ndarray, clients: int = 1) -> SharedPrefix | None:
        """Compute a prefix under the adapter, or the `clients` adapters, in the model now; None of no tokens."""
        if len(tokens) == 0:
            return None
        return SharedPrefix(self, torch.from_numpy(tokens.astype(np.int64)).to(self.device), clients)

    @cached_property
    def _fused_throughout(self) -> bool:
        return {name for names in self.lora.names for name in names} == set(self.parameters)

    @property
    def _causal(self) -> Any:
        return self.peft.get_base_model()

    @property
    def vocabulary(self) -> int:
        """How many tokens the base has an embedding of."""
        return int(self._causal.get_input_embeddings().weight.shape[0])

    @property
    def backbone(self) -> Any:
        """The transformer below the head."""
        return getattr(self._causal, self._causal.base_model_prefix)

    @property
    def _head(self) -> Any:
        return self._causal.get_output_embeddings()


def _cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(logits.float(), targets, reduction="none")
