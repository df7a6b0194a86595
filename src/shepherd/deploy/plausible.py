"""What an honest site's answers are held against, so that what cannot be true is dropped, and nobody else's with it.

A mean weighs an update by what its site says it trained on, so that may not be more than the site said it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shepherd.aggregation.said import HIGHEST_LOSS
from shepherd.config import RunConfig
from shepherd.deploy.kept_states import check_name
from shepherd.deploy.messages import Evaluation, Summary, Trained
from shepherd.deploy.refusal import Refused

_LONGEST_S = 10 * 365 * 86400.0


@dataclass(frozen=True)
class Plausible:
    """What the run and the sites' introductions allow an answer to say.

    Attributes
    ----------
    config : RunConfig
        The run's.
    sizes : sequence of int, [clients]
        How many examples each site said it has.
    """

    config: RunConfig
    sizes: Sequence[int]

    def check_summary(self, client: int, site: str, said: Summary) -> None:
        """Refuse a message that the coreset could not choose by, and names that no site gives.

        Raises
        ------
        ShepherdError
            Saying what is wrong with it.
        """
        check_name("coreset", said.kept)
        check_name("lasting", said.lasting)
        _check_seconds(said.seconds)
        self.config.coreset.check(site, self.sizes[client], said.message)

    def check_evaluation(self, held_out: int, said: Evaluation) -> None:
        """Refuse a loss that no model has, and a weight that the site's hold-out cannot give it.

        Raises
        ------
        Refused
            Naming the figure.
        """
        self.check_loss(said.loss)
        if said.examples > held_out or said.tokens > said.examples * self.config.data.max_tokens:
            raise Refused(
                f"it says it evaluated on {said.examples:,} examples, {said.tokens:,} tokens: more than it has"
            )

    def check_loss(self, loss: float) -> None:
        """Refuse a loss that no model has.

        Raises
        ------
        Refused
            Naming it.
        """
        if not 0 <= loss <= HIGHEST_LOSS:
            raise Refused(f"it says the loss is {loss:.3g}, and that cannot be")

    def check_trained(self, client: int, said: Trained) -> None:
        """Refuse counts that cannot be true, a loss that no model has, and a name that no site gives.

        Raises
        ------
        Refused
            Naming the count.
        """
        check_name("training", said.kept)
        _check_seconds(said.seconds)
        if said.update_norm < 0:
            raise Refused(f"it says the norm of its update is {said.update_norm:.3g}, and that cannot be")
        self.check_loss(said.train_loss)
        self.check_loss(said.train_loss_rms)
        most = (
            ("selected", said.selected, self.sizes[client], "examples that it has"),
            (
                "examples",
                said.examples,
                self.config.training.count(said.selected),
                "that the config makes of those",
            ),
            (
                "tokens",
                said.tokens,
                said.examples * self.config.training.sequences * self.config.data.max_tokens,
                "that so many examples can have",
            ),
            ("response_tokens", said.response_tokens, said.tokens, "tokens in all"),
        )
        for name, value, limit, of_what in most:
            if value > limit:
                raise Refused(
                    f"it says '{name}' is {value:,}, and it cannot be more than the {limit:,} {of_what}"
                )


def _check_seconds(seconds: float) -> None:
    if not 0 <= seconds <= _LONGEST_S:
        raise Refused(f"it says that it took {seconds:.3g} seconds, and that cannot be")
