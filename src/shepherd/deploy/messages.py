"""The declared messages: what the coordinator says to a site, and what a site answers. Nothing else crosses.

Neither side is told anything that these do not hold: no example, no text, no path.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from shepherd.tree import Tree


@dataclass(frozen=True)
class Told:
    """What a site is told with every question, so that it remembers nothing it could lose.

    Attributes
    ----------
    config : Tree
        The sections of the run's config that a client needs; see `shepherd.deploy.shared.shared_config`.
    sites : int
        How many sites take part in the run.
    client : int
        The site's number among them.
    training, coreset : str
        What the site is to take up again of what it kept: the names of its own files; empty for none.
    choice : object
        The coreset's choice for this site, or None.
    told : Tree
        What the aggregation tells the round's sites beside the adapter.
    residual : Tree
        What is added to the base's weights, factored, by module.
    data, base, layout : str
    drawn : list of float
        What the site said of these when it joined: it refuses if they are others now. Empty before.
    asks_categories : bool
        Whether a site that introduces itself is to say how many examples of each category it has.
    poll_examples : int
        How many of its examples a site that is asked for its loss looks at; 0 for all.
    configuration : Tree
        What of the adapter the site holds, as `shepherd.capacity.Configuration.to_tree` says it; empty for the whole.
    """

    config: Tree
    sites: int
    client: int
    training: str = ""
    coreset: str = ""
    choice: Any = None
    told: Tree = field(default_factory=dict)
    residual: Tree = field(default_factory=dict)
    data: str = ""
    base: str = ""
    layout: str = ""
    drawn: list[float] = field(default_factory=list)
    asks_categories: bool = False
    poll_examples: int = 0
    configuration: Tree = field(default_factory=dict)

    def to_tree(self) -> Tree:
        """Return the message's body; large parts are not copied."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class Introduction:
    """What a site says of itself when it joins.

    Attributes
    ----------
    examples : int
        How many it trains on.
    truncated : int
        How many of them are cut to the longest length.
    held_out : int
        How many it keeps back to evaluate on.
    categories : mapping of str to int
        How many examples of each category it trains on; empty unless it was asked.
    data : str
        A fingerprint of the examples; it tells whether they changed, and says nothing of them.
    base : str
        The base model's fingerprint.
    layout : str
        A fingerprint of the adapter's names and shapes.
    drawn : list of float
        A few of the values that it drew from the run's seed and is never sent; empty where there are none.
    versions : mapping of str to str
        Of Shepherd, Python and the libraries a result depends on.
    threads : int
        CPU threads it computes with.
    device : str
        What it computes on.
    """

    examples: int
    truncated: int
    held_out: int
    categories: dict[str, int]
    data: str
    base: str
    layout: str
    drawn: list[float]
    versions: dict[str, str]
    threads: int
    device: str


@dataclass(frozen=True)
class Summary:
    """What a site makes of its examples before the coordinator chooses.

    Attributes
    ----------
    message : Tree
        What the coreset lets the server see.
    kept, lasting : str
        The names of what the site kept for this round and for later ones; empty for nothing.
    seconds : float
        The site's time.
    """

    message: Tree
    kept: str
    lasting: str
    seconds: float


@dataclass(frozen=True)
class Trained:
    """What a site says of its training; the update is the envelope's adapter.

    Attributes
    ----------
    selected, examples, tokens, response_tokens, steps : int
        As in `shepherd.messages.ClientUpdate`.
    train_loss : float
        Nats per response token.
    train_loss_rms : float
        As in `shepherd.messages.ClientUpdate`.
    update_norm : float
        Norm of the update before any transform.
    seconds : float
        The site's time.
    kept : str
        The name of what the site kept of its training; empty for nothing.
    said : Tree
        What the strategies have it say besides.
    """

    selected: int
    examples: int
    tokens: int
    response_tokens: int
    steps: int
    train_loss: float
    train_loss_rms: float
    update_norm: float
    seconds: float
    kept: str
    said: Tree


@dataclass(frozen=True)
class Measured:
    """How the round's adapter does on what a site trains on.

    Attributes
    ----------
    loss : float
        Mean loss in nats per response token.
    """

    loss: float


@dataclass(frozen=True)
class Evaluation:
    """How an adapter does on what a site keeps back.

    Attributes
    ----------
    loss : float
        Mean loss in nats per response token.
    tokens : int
        Response tokens it is the mean of.
    examples : int
        Examples.
    seconds : float
        The site's time.
    """

    loss: float
    tokens: int
    examples: int
    seconds: float
