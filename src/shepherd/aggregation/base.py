"""What every aggregation is: FedIT's fourth component, a fold over the cohort's updates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from shepherd.messages import ClientUpdate
from shepherd.model.adapter import Adapter, Layout
from shepherd.model.role import Role
from shepherd.strategy import Strategy
from shepherd.tree import Tree

if TYPE_CHECKING:
    from shepherd.participation import Candidates
    from shepherd.training.correction import Correction


@dataclass(frozen=True)
class Aggregated:
    """What came of a round's updates.

    Attributes
    ----------
    step : Adapter
        What is added to the global adapter.
    state : Tree
        What the rule remembers from now on.
    figures : mapping of str to float
        What the round's line of metrics says of it, each figure with its unit in its name.
    """

    step: Adapter
    state: Tree
    figures: Mapping[str, float] = field(default_factory=dict)


class Aggregation(Strategy):
    """Model aggregation (arXiv 2305.05644, section 3.4), in four pure steps.

    Updates arrive one at a time; a few may wait to be added together, but none need be kept: memory does not grow with
    the cohort.

    Attributes
    ----------
    additive : bool
        Whether an accumulator is a dataclass of running sums, tensors and numbers that add up: those over two halves
        of a cohort make the whole's. Several processes then exchange sums instead of every update.
    lora_only : bool
        Whether it reads the factors of LoRA, and serves no other adapter.
    mixed_ranks : bool
        Whether clients may hold adapters of different ranks and modules.
    changes_base : bool
        Whether it adds to the base's weights, which a quantised base cannot take.
    turns_factors : bool
        Whether clients begin a round with other factors of the same product, to which nothing kept of the last fits.
    sees_each : bool
        Whether the server must see every client's update by itself, which secure aggregation rules out.
    takes_stale : bool
        Whether an update that was trained from an older adapter still means what it says; not where the server turns
        the factors or moves them into the base.
    leaves_own : bool
        Whether some of the adapter's tensors are each client's own, so that each has an adapter of its own.
    says_tensors : bool
        Whether clients say tensors beside their update, which no transform clips or covers with noise.
    hears : tuple of str
        Under which names clients say something to it.
    asks_loss : bool
        Whether clients say, as ``loss``, how the round's adapter does on all their examples before they train.
    correction : type of Correction, optional
        The correction of the clients' gradients that it does not work without.
    """

    additive: ClassVar[bool] = False
    lora_only: ClassVar[bool] = False
    mixed_ranks: ClassVar[bool] = False
    of_its_own: ClassVar[frozenset[str]] = frozenset({"lr"})  # every server optimiser has its own scale
    changes_base: ClassVar[bool] = False
    turns_factors: ClassVar[bool] = False
    sees_each: ClassVar[bool] = False
    takes_stale: ClassVar[bool] = True
    leaves_own: ClassVar[bool] = False
    says_tensors: ClassVar[bool] = False
    hears: ClassVar[tuple[str, ...]] = ()
    asks_loss: ClassVar[bool] = False
    correction: ClassVar[type[Correction] | None] = None

    @property
    def adds_up(self) -> bool:
        """Whether it is additive as it is configured."""
        return self.additive

    @classmethod
    def obstacle(cls, config: Any) -> str | None:
        """Say what of a run's config no rule of this kind can serve, and what would help; None if nothing.

        Parameters
        ----------
        config : RunConfig
            The run's.
        """
        if cls.lora_only and not config.adapter.factored:
            return (
                "needs an adapter of LoRA's A and B and nothing else, and "
                f"adapter.name={config.adapter.name} is another; set adapter.name=lora"
            )
        if config.capacity.mixes and not cls.mixed_ranks:
            return (
                f"cannot put together adapters of different sizes, as capacity.name={config.capacity.name} has them; "
                "set capacity.name=uniform"
            )
        if cls.changes_base and config.model.quantisation != "none":
            return (
                f"adds to the base's weights, which a {config.model.quantisation} base cannot take; "
                "set model.quantisation=none"
            )
        if cls.asks_loss and config.training.loss_over != "response_tokens":
            return (
                "weighs clients by the loss that they say in nats per response token, which is not what "
                f"training.name={config.training.name} minimises; set training.name=engine"
            )
        if config.system is not None and config.system.stale and not cls.takes_stale:
            return (
                f"cannot use updates of older adapters, as system.name={config.system.name} lets them through; "
                "set system.name=synchronous"
            )
        return None

    @property
    def asks_categories(self) -> bool:
        """Whether it needs to know how many examples of each category every client has."""
        return False

    def suits(self, config: Any) -> None:
        """Refuse an adapter, capacities or a base that the rule cannot serve, naming the rules that can."""
        from shepherd.aggregation import RULES  # a list of this class's subclasses

        self._check_correction(config)
        if (obstacle := self.obstacle(config)) is not None:
            names = [
                str(rule.model_fields["name"].default) for rule in RULES if rule.obstacle(config) is None
            ]
            others = f", or choose another aggregation: {', '.join(names)}" if names else ""
            raise ValueError(f"aggregation.name={self.name} {obstacle}{others}")

    def _check_correction(self, config: Any) -> None:
        """Refuse clients that do not correct their gradients as the aggregation needs it."""
        if self.correction is None or isinstance(
            getattr(config.training, "correction", None), self.correction
        ):
            return
        name = self.correction.model_fields["name"].default
        raise ValueError(
            f"aggregation {self.name} works only with the correction that belongs to it; set training.name=engine "
            f"training.correction.name={name}, or choose another aggregation, e.g. fedavg or fedavgm"
        )

    def init(self, adapter: Adapter, clients: int) -> Tree:
        """Return the state the rule carries between rounds; empty if it carries none.

        Parameters
        ----------
        adapter : Adapter
            The adapter before any training.
        clients : int
            How many clients there are in all.
        """
        return {}

    def role(self, name: str, round: int) -> Role:
        """Say what the round `round` (from 0) does with the adapter's tensor `name`; trained and shared by default."""
        return Role.SHARED

    def as_clients_know_it(self, config: Any) -> Aggregation:
        """Return the rule without what is the server's own business, such as who else takes part; itself by default.

        Parameters
        ----------
        config : RunConfig
            The run's.
        """
        return self

    def told(self, state: Tree) -> Tree:
        """Return what every client of the next round is told beside the adapter; nothing by default."""
        return {}

    def sent(self, adapter: Adapter, state: Tree, client: int) -> Adapter:
        """Return the adapter that a client begins the next round with: the global one, unless a rule keeps several."""
        return adapter

    def residual(self, state: Tree) -> Tree:
        """Return what is added to the base's weights, factored, by module; see `shepherd.model.residual`."""
        return {}

    def shares(self, candidates: Candidates, state: Tree) -> Sequence[float] | None:
        """Return how much each client of the run counts, [clients], beside what its training makes it count.

        Parameters
        ----------
        candidates : Candidates
            Everybody, as the round begins.
        state : mapping
            The state before the round.

        Returns
        -------
        sequence of float, optional
            What becomes of `ClientUpdate.share`; None, the default, where all count alike.
        """
        return None

    def check_said(self, said: Tree, layout: Layout) -> None:
        """Refuse what a client says beside its update where the rule cannot work with it; nothing by default.

        Parameters
        ----------
        said : mapping
            What the client says; over a network nothing about it is trusted.
        layout : Layout
            The adapter's.

        Raises
        ------
        ShepherdError
            Saying what is wrong with it.
        """

    def start(self, adapter: Adapter) -> Any:
        """Return the empty accumulator of a round."""
        raise NotImplementedError

    def accumulate(self, accumulator: Any, update: ClientUpdate) -> Any:
        """Return the accumulator with one more client's update in it; the one that was given is used up."""
        raise NotImplementedError

    def finish(self, adapter: Adapter, accumulator: Any, state: Tree) -> Aggregated:
        """Return the aggregated update, the new state, and figures.

        Parameters
        ----------
        adapter : Adapter
            The global adapter the round began with.
        accumulator
            Everything the round's clients sent.
        state : mapping
            The state before the round.
        """
        raise NotImplementedError
