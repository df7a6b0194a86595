"""The lines of metrics.jsonl that the round loop writes: one a client, one a selection, one a round, one an evaluation.

Every figure has its unit in its name, and what depends on the machine stands apart, under ``machine``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from shepherd.machine import peak_memory_bytes
from shepherd.messages import ClientSummary, ClientUpdate
from shepherd.tree import to_bytes

Line = dict[str, Any]
_HIGHEST_EXPONENT = 700.0  # of which float64 has the exponential
_SUMMED = ("selected", "examples", "tokens", "response_tokens", "steps", "bytes_up", "bytes_down")


def selection_line(
    round: int, client: str, held: int, summary: ClientSummary, bytes_down: int, figures: dict[str, Any]
) -> Line:
    """Say what a client, which holds `held` examples, was asked for the coreset, and the coreset's figures."""
    return {
        "round": round,
        "scope": "selection",
        "client": client,
        "examples_held": held,
        "bytes_up": summary.wire_bytes,
        "bytes_down": bytes_down,
        **figures,
        "machine": {"seconds": summary.seconds},
    }


def poll_line(round: int, client: str, held: int, loss: float, bytes_down: int) -> Line:
    """Say what a client, which holds `held` examples, said of the global adapter's loss."""
    return {
        "round": round,
        "scope": "poll",
        "client": client,
        "examples_held": held,
        "loss": loss,
        "bytes_up": len(to_bytes({"loss": loss})),
        "bytes_down": bytes_down,
    }


def client_line(
    round: int, client: str, update: ClientUpdate, bytes_down: int, figures: Collection[str] = ()
) -> Line:
    """Say what a client did, and those `figures` that it says besides."""
    said = {name: update.said.get(name) for name in figures}
    return {
        "round": round,
        "scope": "client",
        "client": client,
        "number": update.client,
        "selected": update.selected,
        "examples": update.examples,
        "tokens": update.tokens,
        "response_tokens": update.response_tokens,
        "steps": update.steps,
        "train_loss": update.train_loss,
        "train_loss_rms": update.train_loss_rms,
        "update_norm": update.update_norm,
        **{name: value for name, value in said.items() if isinstance(value, float) and math.isfinite(value)},
        "bytes_up": update.wire_bytes,
        "bytes_down": bytes_down,
        "machine": {"seconds": update.seconds},
    }


def missing_line(round: int, client: str, number: int, figures: Mapping[str, Any]) -> Line:
    """Say what became of a client of a simulated system whose update is not used; its bytes crossed all the same."""
    return {"round": round, "scope": "missing", "client": client, "number": number, **figures}


def global_line(round: int, loss: float, examples: int, tokens: int, figures: Mapping[str, Any]) -> Line:
    """Say how everybody's adapter does after a round on what is held out, and what else was measured there.

    Parameters
    ----------
    round : int
        How many rounds it has seen.
    loss : float
        Nats per response token.
    examples, tokens : int
        What it was measured on; response tokens.
    figures : mapping
        What else is said of it.
    """
    perplexity = math.exp(min(loss, _HIGHEST_EXPONENT))
    measured = {"loss": loss, "perplexity": perplexity, "examples": examples, "tokens": tokens}
    return {"round": round, "scope": "global", **measured, **figures}


def mean_of(name: str, clients: Sequence[Line], over: str = "examples") -> float | None:
    """Return the mean of a figure over a count of the clients that have it; None where nobody does."""
    found = [line for line in clients if name in line]
    weighted = sum(line[name] * line[over] for line in found)
    return weighted / max(1, sum(line[over] for line in found)) if found else None


def round_line(
    round: int,
    clients: Sequence[Line],
    others: Sequence[Line],
    held: int,
    norm: float,
    figures: Mapping[str, float | None],
    seconds: float,
    selection_seconds: float,
    trained_tokens: int,
    loss_over: str = "response_tokens",
) -> Line:
    """Sum a round up.

    Parameters
    ----------
    round : int
        The round, from 1.
    clients, others : sequence of Line
        What the clients that trained did, and what crossed besides: of those that were asked for the coreset,
        polled, or trained for nothing.
    held : int
        Examples held by everybody who takes part.
    norm : float
        Of the aggregated step.
    figures : mapping of str to float
        What the strategies say of the round.
    seconds, selection_seconds : float
        Wall-clock time of the whole, and of choosing.
    trained_tokens : int
        Tokens that were trained on in that time, those of clients whose updates are not used included.
    loss_over : str
        The count that a training loss is a mean over.
    """
    training_seconds = seconds - selection_seconds
    totals = {key: sum(line[key] for line in clients) for key in _SUMMED}
    for key in ("bytes_up", "bytes_down"):
        totals[key] += sum(line[key] for line in others)
    return {
        "round": round,
        "scope": "round",
        "clients": len(clients),
        "examples_held": held,
        **totals,
        "train_loss": mean_of("train_loss", clients, loss_over),
        "update_norm": norm,
        **figures,
        "machine": {
            "seconds": seconds,
            "selection_seconds": selection_seconds,
            "tokens_per_second": trained_tokens / training_seconds if training_seconds > 0 else 0.0,
            "peak_memory_bytes": peak_memory_bytes(),
        },
    }
