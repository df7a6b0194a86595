"""What is known of clients' own adapters, as it lies in a run directory; no model is needed to read it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from shepherd.errors import ShepherdError
from shepherd.files import folder_name, write_json

_FOLDER, _SCORE = "personal", "score.json"


@dataclass(frozen=True)
class PersonalScore:
    """One client's own adapter beside everybody's; losses in nats per response token.

    Attributes
    ----------
    client : str
        The client's name.
    trained_on : int
        Examples it trains on.
    own_test : int
        Examples of its own that it tests on.
    own_loss_shared, own_loss_personal : float, optional
        Everybody's adapter and its own, on those; None where there are none.
    unseen_loss_shared, unseen_loss_personal : float
        The same on the run's hold-out.
    own_weight, unseen_weight : float, optional
        Where everybody's adapter and its own are mixed: what its own counts there, in the mean over the examples.
    peft_weight : float, optional
        What it counts in the adapter that is kept for PEFT, which has one weight for all examples.
    has_own : bool
        Whether the client has come to an adapter of its own; where that happens in the rounds, who never took part in
        one has everybody's.
    of_pairs : bool
        Whether it was trained on pairs of answers; then the losses are those of the chosen ones, which is not what
        training on pairs minimises.
    weights_sha256 : str, optional
        Of the file that PEFT loads the adapter from, as it was written; None where an older Shepherd wrote it.
    """

    client: str
    trained_on: int
    own_test: int
    own_loss_shared: float | None
    own_loss_personal: float | None
    unseen_loss_shared: float
    unseen_loss_personal: float
    own_weight: float | None = None
    unseen_weight: float | None = None
    peft_weight: float | None = None
    has_own: bool = True
    of_pairs: bool = False
    weights_sha256: str | None = None

    @property
    def own_change(self) -> float | None:
        """What becomes of the loss on its own test; below zero its own adapter is the better one."""
        if self.own_loss_personal is None or self.own_loss_shared is None:
            return None
        return self.own_loss_personal - self.own_loss_shared

    @property
    def unseen_change(self) -> float:
        """What becomes of the loss on what nobody has seen."""
        return self.unseen_loss_personal - self.unseen_loss_shared


def personal_folder(run: Path) -> Path:
    """Return where a run directory keeps clients' own adapters."""
    return run / _FOLDER


def client_folder(run: Path, client: str) -> Path:
    """Return where it keeps one client's."""
    return personal_folder(run) / folder_name(client)


def write_score(run: Path, score: PersonalScore) -> None:
    """Write a client's score into a run directory."""
    write_json(client_folder(run, score.client) / _SCORE, asdict(score))


def read_scores(run: Path) -> list[PersonalScore]:
    """Return the scores in a run directory, by folder; none where none were made.

    Raises
    ------
    ShepherdError
        If one is damaged.
    """
    found = []
    for file in sorted(personal_folder(run).glob(f"*/{_SCORE}")):
        try:
            found.append(PersonalScore(**json.loads(file.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError) as error:
            raise ShepherdError(f"{file} is damaged; delete its folder and personalise again.") from error
    return found
