"""Answers that are announced twice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from shepherd.deploy.superlink_repeats import _again, take_repeats


class Database:
    """Stands for the SuperLink's: has the message out that an answer is awaited for, and the answers' parts."""

    def __init__(self) -> None:
        self.parts: dict[str, bytes] = {}
        self.sessions: list[str] = []
        self.object_store = self
        self.awaited = True

    def get(self, id: str) -> bytes | None:
        return self.parts.get(id)

    def store(self, message: Any, parts: list[str], session: str) -> tuple[bool, list[str]]:
        if not self.awaited:
            return False, []
        return True, self.preregister_object_tree(parts, session)

    def preregister_object_tree(self, parts: list[str], session: str) -> list[str]:
        self.sessions.append(session)
        return [part for part in parts if not self.parts.setdefault(part, b"")]


def announced(database: Database, session: str) -> tuple[bool, list[str]]:
    answer = SimpleNamespace(metadata=SimpleNamespace(message_id="answer"))
    return _again(Database.store)(database, answer, ["answer", "array"], session)


def test_an_answer_announced_again_is_asked_for_the_parts_that_are_missing() -> None:
    database = Database()
    assert announced(database, "first") == (True, ["answer", "array"])
    database.awaited = False  # the coordinator has heard of it
    assert announced(database, "second") == (True, ["answer", "array"])
    database.parts["array"] = b"1"
    assert announced(database, "third") == (True, ["answer"])
    assert database.sessions == ["first", "second", "third"]


def test_an_answer_to_nothing_and_one_that_is_done_with_are_not_taken() -> None:
    database = Database()
    database.awaited = False
    assert announced(database, "first") == (False, [])
    assert database.sessions == []


def test_flower_still_has_what_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("flwr")
    from flwr.server.superlink.linkstate.sql_linkstate import SqlLinkState

    state: Any = SqlLinkState
    before = state.store_message_and_object_tree
    assert callable(state.preregister_object_tree)
    assert isinstance(state.object_store, property)
    monkeypatch.setattr(state, "store_message_and_object_tree", before)  # so that it is put back
    take_repeats()
    assert state.store_message_and_object_tree is not before
