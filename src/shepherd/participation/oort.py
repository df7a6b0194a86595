"""Participation of those whose training helps most per second."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from shepherd.participation.base import Candidates, Report
from shepherd.participation.counted import CountedParticipation
from shepherd.participation.drawing import drawn_by_weight
from shepherd.randomness import generator
from shepherd.tree import Tree


class Oort(CountedParticipation):
    """Exploits clients of high statistical utility that are fast enough, and explores new ones.

    Lai et al., OSDI 2021, algorithm 1. A client's utility is ``|B_k| sqrt(mean loss^2)``, from what it trained on last
    (``train_loss_rms`` in its line: of the mean losses of its batches, not of single examples, which the server is not
    told). In round t, with t_k the round in which it took part last, its score is

        (min(U_k, clip) - min U) / (max U - min U) + sqrt(staleness * ln t / t_k),

    times ``(T / duration_k) ** penalty`` where it took longer than T, if durations are known (``simulated_seconds``).
    Those that score at least ``cut_off`` times what the last of the best scores are drawn in proportion to it. Who was
    asked and of whom nothing came counts, until something does, as of the mean utility of those that were heard, as in
    FedScale's server, and as slow as the slowest of them. Its code invites 1.1 times as many (``over_selection``).

    Attributes
    ----------
    explore, explore_decay, explore_least : float
        Share of a cohort that goes to clients which never took part, while there are any: at first, its factor a round,
        and where it ends. Faster devices are explored first, where they are known.
    staleness : float
        How much is added to the scores of those that have not taken part for long.
    clip : float
        The quantile of utilities that none counts above.
    cut_off : float
        What share of the last of the best's score is enough, in (0, 1].
    penalty : float
        How much slow clients lose.
    pace, pace_step : float
        T is this percentile of the known durations, and by how much the percentile moves: up where the utility that is
        exploited moved by 10 % or less, down where it moved by five times as much as it was.
    pace_rounds : int
        After how many rounds that is looked at.
    most_rounds : int, optional
        A client that took part so often is left out, unless too few are left; nobody is unless told.
    """

    name: str = "oort"
    explore: float = Field(0.9, ge=0, le=1)
    explore_decay: float = Field(0.95, gt=0, le=1)
    explore_least: float = Field(0.2, ge=0, le=1)
    staleness: float = Field(0.1, ge=0)
    clip: float = Field(0.98, gt=0, le=1)
    cut_off: float = Field(0.7, gt=0, le=1)
    penalty: float = Field(2.0, ge=0)
    pace: float = Field(10.0, gt=0, le=100)
    pace_step: float = Field(5.0, gt=0, le=100)
    pace_rounds: int = Field(20, gt=0)
    most_rounds: int | None = Field(None, gt=0)

    def select(self, candidates: Candidates, state: Tree) -> list[int]:
        """Draw some that are known by their scores, and some that are new; in ascending order of number."""
        known, wanted = state.get("clients", {}), self.invited(candidates)
        able = self._able(candidates, known, wanted)
        new = [client for client in able if str(client) not in known]
        old = [client for client in able if str(client) in known]
        share = max(self.explore_least, self.explore * self.explore_decay**candidates.round)
        exploited = min(len(old), int(wanted * (1 - share) + 1e-9))
        explored = min(len(new), wanted - exploited)
        exploited = wanted - explored
        draw = generator(candidates.seed, "participation", candidates.round)
        chosen = drawn_by_weight(draw, new, _speeds(candidates, new), explored)
        if exploited:
            scores = self.scores(candidates.round + 1, known, state.get("pace", self.pace))
            ranked = sorted(old, key=lambda client: (-scores[str(client)], client))
            enough = self.cut_off * scores[str(ranked[exploited - 1])]
            best = [client for client in ranked if scores[str(client)] >= enough]
            chosen += drawn_by_weight(draw, best, [scores[str(client)] for client in best], exploited)
        return sorted(chosen)

    def scores(self, number: int, known: Mapping[str, Mapping[str, Any]], pace: float) -> dict[str, float]:
        """Return the score of every known client.

        Parameters
        ----------
        number : int
            The round, from 1.
        known : mapping of str to mapping
            Per client its ``utility``, ``round``, and ``seconds`` where they are known.
        pace : float
            The percentile of durations above which a client is slow.
        """
        utilities = [about["utility"] for about in known.values()]
        least, span = min(utilities), max(utilities) - min(utilities)
        highest = _quantile(utilities, self.clip)
        seconds = [about["seconds"] for about in known.values() if "seconds" in about]
        preferred = _quantile(seconds, pace / 100) if seconds and pace < 100 else math.inf
        found = {}
        for client, about in known.items():
            gain = (min(about["utility"], highest) - least) / span if span else 0.0
            score = gain + math.sqrt(self.staleness * math.log(number) / about["round"])
            if about.get("seconds", 0.0) > preferred:
                score *= (preferred / about["seconds"]) ** self.penalty
            found[client] = score
        return found

    def observe(self, candidates: Candidates, reports: Sequence[Report], state: Tree) -> Tree:
        """Remember what the cohort's training was worth and how long it took, and move the pace."""
        number, known = candidates.round + 1, state.get("clients", {})
        heard = {
            str(report.client): _worth(known.get(str(report.client)), report.line, number)
            for report in reports
        }
        silent = {
            str(client): _usual(known.get(str(client)), heard or known, number)
            for client in candidates.silent
        }
        exploited = [
            heard[str(report.client)]["utility"] for report in reports if str(report.client) in known
        ]
        mean = sum(exploited) / len(exploited) if exploited else 0.0
        history = [*state.get("exploited", []), mean][-2 * self.pace_rounds :]
        pace = self._moved(state.get("pace", self.pace), history, number)
        return {"clients": {**known, **silent, **heard}, "exploited": history, "pace": pace}

    def _able(self, candidates: Candidates, known: Tree, wanted: int) -> Sequence[int]:
        """Return who can be chosen; of those that took part too often, as many as are needed, the rarest first."""
        if self.most_rounds is None:
            return candidates.pool
        times = {client: known.get(str(client), {}).get("times", 0) for client in candidates.pool}
        rarest = sorted(times, key=lambda client: (times[client], client))
        fresh = sum(count < self.most_rounds for count in times.values())
        return sorted(rarest[: max(fresh, wanted)])

    def _moved(self, pace: float, history: Sequence[float], number: int) -> float:
        """Return the percentile for the rounds to come: higher where exploiting brings nothing new."""
        if number % self.pace_rounds or len(history) < 2 * self.pace_rounds:
            return pace
        before, now = sum(history[: self.pace_rounds]), sum(history[self.pace_rounds :])
        if abs(now - before) <= 0.1 * before:
            return min(100.0, pace + self.pace_step)
        if abs(now - before) >= 5 * before:
            return max(self.pace_step, pace - self.pace_step)
        return pace


def _usual(
    before: Mapping[str, Any] | None, heard: Mapping[str, Mapping[str, Any]], number: int
) -> dict[str, Any]:
    """Return what is taken for true of a client of which nothing came, by those that were heard."""
    utilities = [about["utility"] for about in heard.values()]
    seconds = [about["seconds"] for about in (*heard.values(), before or {}) if "seconds" in about]
    slowest = {"seconds": max(seconds)} if seconds else {}
    mean = sum(utilities) / max(1, len(utilities))
    return {"times": 0, **(before or {}), "utility": mean, "round": number, **slowest}


def _worth(before: Mapping[str, Any] | None, line: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return what is known of a client that trained."""
    seconds = {"seconds": float(line["simulated_seconds"])} if "simulated_seconds" in line else {}
    utility = float(line["selected"]) * float(line["train_loss_rms"])
    times = (before or {}).get("times", 0) + 1
    return {**(before or {}), "utility": utility, "round": number, "times": times, **seconds}


def _quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which that share of the values lies."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def _speeds(candidates: Candidates, clients: Sequence[int]) -> list[float]:
    """Return how fast clients are expected to be; all the same where nothing is known of their devices."""
    devices = candidates.devices
    if devices is None:
        return [1.0] * len(clients)
    return [1 / max(devices.expected_seconds(client, candidates.sizes[client]), 1e-9) for client in clients]
