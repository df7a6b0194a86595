"""What every way of giving clients adapters of different sizes is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field

from shepherd.capacity.extent import Extent, layer_of, module_of
from shepherd.errors import ShepherdError
from shepherd.model.adapter import Layout
from shepherd.model.lora_pairs import is_a, is_b
from shepherd.model.part import Part
from shepherd.settings import Settings, checked, nearest
from shepherd.strategy import Strategy
from shepherd.tree import Tree

_Layer = Annotated[int, Field(ge=0, strict=True)]


class Configuration(Settings):
    """What one client holds of the run's adapter.

    Attributes
    ----------
    rank : int, optional
        Of LoRA, the largest rank it holds; the run's unless told.
    targets : tuple of str, optional
        The modules it holds an adapter of, by the last word of their name (``q_proj``); all unless told.
    layers : tuple of int, optional
        The layers whose tensors it trains, from 0; the others it is sent and leaves as they are. All unless told. An
        average counts what it left as an update of zero, so a layer that half of a cohort trains moves half as far.
    """

    rank: int | None = Field(None, gt=0, strict=True)
    targets: tuple[str, ...] | None = Field(None, min_length=1)
    layers: tuple[_Layer, ...] | None = Field(None, min_length=1)

    @classmethod
    def from_tree(cls, tree: Tree, where: str) -> Configuration:
        """Undo `to_tree`; nothing about the tree is trusted.

        Raises
        ------
        ShepherdError
            Beginning with `where`, and naming the first mistake.
        """
        return checked(cls, tree, where)

    def to_tree(self) -> dict[str, Any]:
        """Return it as plain values; empty for the whole."""
        return self.model_dump(mode="json", exclude_none=True)

    @property
    def plain(self) -> Configuration:
        """The configuration alone, of a subclass that says more."""
        return Configuration(rank=self.rank, targets=self.targets, layers=self.layers)

    @property
    def is_whole(self) -> bool:
        """Whether it is everything."""
        return self.rank is None and self.targets is None and self.layers is None

    @property
    def is_cut(self) -> bool:
        """Whether it may lack a part of the adapter."""
        return self.rank is not None or self.targets is not None

    def held(self, layout: Layout) -> Part:
        """Return what of an adapter the client holds."""
        shapes = {
            name: self._shape(name, shape)
            for name, shape in zip(layout.names, layout.shapes, strict=True)
            if self.targets is None or module_of(name) in self.targets
        }
        return Part.of(layout, shapes)

    def trains(self, name: str) -> bool:
        """Say whether the client trains a tensor that it holds."""
        layer = layer_of(name)
        return self.layers is None or layer is None or layer in self.layers

    def check_trains(self, layout: Layout, where: str) -> None:
        """Refuse targets and layers that have no tensor of an adapter in common, by a `ShepherdError` about `where`."""
        if not any(map(self.trains, self.held(layout).layout.names)):
            raise ShepherdError(
                f"{where} has targets and layers without a tensor of the adapter in common; give others, or one of "
                "the two alone."
            )

    def misfit(self, extent: Extent) -> str | None:
        """Say what of it the run's adapter does not have, and what would help; None if it fits."""
        if self.is_cut and extent.factored is False:
            return (
                "has a rank or targets, and only an adapter that is LoRA's A and B alone can be cut to them; give "
                "layers only, or set adapter.name=lora"
            )
        if self.rank is not None and extent.rank is not None and self.rank > extent.rank:
            return f"has the rank {self.rank}, above the adapter's {extent.rank}; lower it, or raise adapter.rank"
        for target in self.targets or ():
            if extent.modules is not None and target not in extent.modules:
                known = nearest(target, sorted(extent.modules))
                return f"has the target '{target}', which the adapter does not adapt{known}"
        return self._wrong_layer(extent)

    def _wrong_layer(self, extent: Extent) -> str | None:
        """Say which of its layers there is not; None if all are there."""
        if self.layers is None or extent.layers is None:
            return None
        if not extent.layers:
            return "has layers, and no tensor of the adapter belongs to a layer; leave layers out"
        wrong = next((layer for layer in self.layers if layer not in extent.layers), None)
        if wrong is None:
            return None
        there = sorted(extent.layers)
        whole = len(there) == there[-1] - there[0] + 1
        known = f"{there[0]} to {there[-1]}" if whole else ", ".join(map(str, there))
        return f"has the layer {wrong}, and the adapter's are {known}; give some of these"

    def _shape(self, name: str, shape: torch.Size) -> torch.Size:
        if self.rank is None:
            return shape
        if is_a(name):
            return torch.Size((min(self.rank, shape[0]), *shape[1:]))
        if is_b(name):
            return torch.Size((shape[0], min(self.rank, shape[1])))
        return shape


class Capacity(Strategy):
    """Gives each client its configuration (FedIT, section 5: clients differ in what their hardware can train).

    A client of a smaller rank holds the first rows of every A and the first columns of every B, as a whole adapter
    would if the rest were zero, and trains them with the run's scale ``alpha / adapter.rank``. A mean over such
    clients counts the rest as zero, which pulls it towards small ranks; use a rule that puts them together knowingly:
    hetlora, flexlora, flora.
    """

    def configuration(self, client: int, name: str, size: int, seed: int) -> Configuration:
        """Return what a client holds; the same in every round.

        Parameters
        ----------
        client : int
            The client's number.
        name : str
            Its name.
        size : int
            How many examples it holds.
        seed : int
            The run's seed.
        """
        raise NotImplementedError

    def given(self) -> Iterable[tuple[str, Configuration]] | None:
        """Return every configuration that a client may be given, with where it is said; None, as here, if not known."""
        return None

    @property
    def mixes(self) -> bool:
        """Whether clients may differ in rank or modules, so that the aggregation must put them together."""
        given = self.given()
        return given is None or any(configuration.is_cut for _, configuration in given)

    def suits(self, config: Any) -> None:
        """Refuse a configuration that the run's adapter cannot be cut to, as far as the config tells."""
        try:
            self._check(Extent.of_config(config.adapter))
        except ShepherdError as error:
            raise ValueError(f"capacity.name={self.name}: {error}") from None

    def check(self, names: Sequence[str], layout: Layout) -> None:
        """Refuse configurations that do not fit, before the first round.

        Parameters
        ----------
        names : sequence of str, [clients]
            Everybody's.
        layout : Layout
            The run's adapter's.

        Raises
        ------
        ShepherdError
            Naming the configuration, and what is wrong with it.
        """
        try:
            self._check(Extent.of_layout(layout))
            for where, configuration in self.given() or ():
                configuration.check_trains(layout, where)
        except ShepherdError as error:
            raise ShepherdError(f"capacity.name={self.name}: {error}") from None

    def facts(self) -> dict[str, Any]:
        """Return what the run rests on beside the config, for its record; nothing by default."""
        return {}

    def _check(self, extent: Extent) -> None:
        for where, configuration in self.given() or ():
            wrong = configuration.misfit(extent)
            if wrong is not None:
                raise ShepherdError(f"{where} {wrong}{'' if wrong.endswith('?') else '.'}")
