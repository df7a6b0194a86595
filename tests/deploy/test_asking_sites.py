"""Asking sites: who is asked again, who is not, and when it is enough. The clock is the test's own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import pytest

from shepherd.deploy.exchange import Lost, Patience, Received, gather
from shepherd.deploy.wire import Envelope

Outcome = Envelope | Lost
PATIENCE = Patience(seconds=100, attempts=3, poll_s=1, pause_s=0)


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class ScriptedLink:
    """Each site does with its nth message what its script says, given the message's id: after so long, something."""

    def __init__(self, **scripts: list[tuple[float, Callable[[str, Envelope], Received]]]) -> None:
        self.clock = Clock()
        self.scripts = scripts
        self.from_when = dict.fromkeys(scripts, 0.0)  # connected
        self.removed: dict[str, float] = {}
        self.asked: list[tuple[float, str]] = []
        self.good_for: list[float] = []
        self.out: dict[str, tuple[float, Received]] = {}

    def online(self) -> Collection[str]:
        return {site for site, when in self.from_when.items() if when <= self.clock.now}

    def admitted(self) -> Collection[str]:
        return {site for site in self.scripts if self.removed.get(site, 1e9) > self.clock.now}

    def send(self, messages: Mapping[str, Envelope], seconds: float) -> dict[str, str]:
        assert set(messages) <= set(self.online())
        self.good_for.append(seconds)
        ids = {}
        for site, envelope in messages.items():
            ids[site] = id = f"{site}{sum(name == site for _, name in self.asked)}"
            self.asked.append((self.clock.now, site))
            after, does = self.scripts[site].pop(0)
            self.out[id] = (self.clock.now + after, does(id, envelope))
        return ids

    def receive(self, ids: Collection[str]) -> list[Received]:
        here = [id for id in ids if id in self.out and self.out[id][0] <= self.clock.now]
        return [self.out.pop(id)[1] for id in here]

    def gather(self, patience: Patience = PATIENCE) -> dict[str, tuple[float, Outcome]]:
        """Return when each site was settled, and how."""
        questions = {site: Envelope("train", "run", 2, {"to": site}) for site in self.scripts}
        settled = {}
        for site, outcome in gather(self, questions, patience, self.clock, self.clock.sleep):
            assert site not in settled
            settled[site] = (self.clock.now, outcome)
        assert set(settled) == set(self.scripts)
        return settled


def answers(id: str, asked: Envelope) -> Received:
    return Received(id, asked.answer({"from": asked.body["to"], "id": id}))


def refuses(id: str, asked: Envelope) -> Received:
    return Received(id, asked.refusal("the rank is too high"))


def is_lost(id: str, asked: Envelope) -> Received:
    return Received(id, reason="its connection was lost", again=True)


def fails(id: str, asked: Envelope) -> Received:
    return Received(id, reason="its Flower app failed")


def answers_another_round(id: str, asked: Envelope) -> Received:
    return Received(id, Envelope("train", "run", asked.round - 1))


def test_answers_come_as_they_are_ready() -> None:
    link = ScriptedLink(slow=[(5, answers)], quick=[(1, answers)])
    settled = link.gather()
    assert list(settled) == ["quick", "slow"]
    assert [when for when, _ in settled.values()] == [1, 5]
    assert all(isinstance(outcome, Envelope) for _, outcome in settled.values())
    assert link.good_for == [100]


def test_what_was_lost_is_asked_again_with_the_time_that_is_left() -> None:
    link = ScriptedLink(a=[(10, is_lost), (10, is_lost), (10, answers)])
    when, outcome = link.gather()["a"]
    assert isinstance(outcome, Envelope)
    assert outcome.body["id"] == "a2"
    assert (when, link.asked) == (32, [(0, "a"), (11, "a"), (22, "a")])
    assert link.good_for == [100, 89, 78]


def test_attempts_are_used_up() -> None:
    link = ScriptedLink(a=[(1, is_lost)] * 3 + [(1, answers)], b=[(1, answers)])
    settled = link.gather()
    assert settled["a"] == (5, Lost("its connection was lost (asked 3 times)"))
    assert isinstance(settled["b"][1], Envelope)


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        (refuses, "the rank is too high"),
        (fails, "its Flower app failed"),
        (answers_another_round, "it answered another question than it was asked"),
    ],
)
def test_who_is_unwilling_or_wrong_is_not_asked_again(
    does: Callable[[str, Envelope], Received], reason: str
) -> None:
    link = ScriptedLink(a=[(1, does), (1, answers)])
    assert link.gather()["a"] == (1, Lost(reason))
    assert len(link.asked) == 1


def test_who_is_not_connected_is_asked_when_it_is() -> None:
    link = ScriptedLink(a=[(1, answers)], b=[(1, answers)])
    link.from_when["b"] = 40
    settled = link.gather()
    assert [when for when, _ in settled.values()] == [1, 41]
    assert link.asked == [(0, "a"), (40, "b")]


def test_who_is_lost_and_stays_away_is_asked_when_it_is_back() -> None:
    link = ScriptedLink(a=[(1, is_lost), (1, answers)])

    def goes(seconds: float, sleep: Callable[[float], None] = link.clock.sleep) -> None:
        sleep(seconds)
        link.from_when["a"] = 50

    link.clock.sleep = goes  # type: ignore[method-assign]
    assert link.gather()["a"][0] == 51
    assert link.asked == [(0, "a"), (50, "a")]


def test_nobody_is_waited_for_after_the_time_is_up() -> None:
    link = ScriptedLink(busy=[(500, answers)], away=[], gone=[(1, is_lost)])
    link.from_when["away"] = 500

    def leaves(id: str, asked: Envelope) -> Received:
        link.from_when["gone"] = 500
        return is_lost(id, asked)

    link.scripts["gone"] = [(1, leaves)]
    settled = link.gather()
    assert {site: outcome for site, (_, outcome) in settled.items()} == {
        "busy": Lost("100 seconds had passed"),
        "away": Lost("it was not connected, and 100 seconds had passed"),
        "gone": Lost("its connection was lost, and 100 seconds had passed"),
    }
    assert link.clock.now == 100


@pytest.mark.parametrize(
    ("share", "waited"), [(1.0, 100), (0.75, 3), (0.7, 3), (0.5, 2), (0.1, 1), (1e-9, 1)]
)
def test_the_share_that_is_enough(share: float, waited: float) -> None:
    link = ScriptedLink(
        **{name: [(time, answers)] for name, time in zip("abcd", (1, 2, 3, 100), strict=True)}
    )
    settled = link.gather(Patience(100, enough_share=share, poll_s=1))
    assert link.clock.now == waited
    late = [outcome for when, outcome in settled.values() if isinstance(outcome, Lost)]
    assert all(one == Lost("enough others had answered") for one in late)


def test_who_refuses_is_not_counted_as_an_answer() -> None:
    link = ScriptedLink(a=[(1, refuses)], b=[(2, refuses)], c=[(3, answers)], d=[(9, answers)])
    settled = link.gather(Patience(100, enough_share=0.25, poll_s=1))
    assert settled["c"][0] == 3
    assert settled["d"] == (3, Lost("enough others had answered"))


def test_an_answer_that_comes_when_time_is_up_still_counts() -> None:
    link = ScriptedLink(a=[(100, answers)])
    assert isinstance(link.gather()["a"][1], Envelope)


def test_who_is_removed_is_not_waited_for() -> None:
    link = ScriptedLink(busy=[(90, answers)], away=[], gone=[], here=[(9, answers)])
    link.from_when.update(away=500, gone=500)
    link.removed = {"busy": 5, "away": 5, "gone": 0}
    settled = link.gather()
    put_out = Lost("it was removed from the federation, or its key cannot be used")
    assert {site: settled[site] for site in ("busy", "away", "gone")} == {
        "busy": (5, put_out),
        "away": (5, put_out),
        "gone": (0, put_out),
    }
    assert settled["here"][0] == link.clock.now == 9


def test_who_is_refused_is_not_asked() -> None:
    link = ScriptedLink(a=[], b=[(3, answers)])
    link.from_when["a"] = 500
    questions = {site: Envelope("train", "run", 2, {"to": site}) for site in "ab"}
    refused = {"a": "other data", "stranger": "other data"}
    found = dict(gather(link, questions, PATIENCE, link.clock, link.clock.sleep, refused))
    assert found["a"] == Lost("other data")
    assert isinstance(found["b"], Envelope)
    assert ([site for _, site in link.asked], link.clock.now) == (["b"], 3)


def test_nobody_asked_is_nobody_waited_for() -> None:
    assert ScriptedLink().gather() == {}


@pytest.mark.parametrize(
    ("share", "asked", "enough"), [(1.0, 3, 3), (2 / 3, 3, 2), (0.1, 10, 1), (0.3, 10, 3), (1e-6, 5, 1)]
)
def test_enough_is_rounded_up_but_not_by_an_error_of_floats(share: float, asked: int, enough: int) -> None:
    assert Patience(enough_share=share).enough(asked) == enough


def test_a_site_is_asked_again_after_longer_and_longer_pauses() -> None:
    patience = Patience(pause_s=5)
    assert [patience.pause(sent) for sent in (1, 2, 3)] == [5, 10, 20]
