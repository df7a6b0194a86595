"""The file of replies: whole lines, whatever happens; and nothing taken for a reply that is none."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shepherd.endpoint import Message, Reply, ReplyStore, Request
from shepherd.endpoint import replies as room
from shepherd.errors import ShepherdError


def reply(name: str, text: str = "8 7") -> Reply:
    return Reply(name, text, 10, 2, "stop", "judge-1")


SOUND = asdict(reply("x"))


def filled(path: Path, *names: str) -> ReplyStore:
    store = ReplyStore(path)
    for name in names:
        store.add(reply(name), {"messages": []})
    store.close()
    return store


def test_what_is_added_is_there_for_the_next_reader(tmp_path: Path) -> None:
    store = ReplyStore(tmp_path / "deep" / "replies.jsonl")
    store.add(reply("a", "Grüße\u2028 und\nmehr"), {"messages": [{"role": "user", "content": "ä"}]})
    # On disk before add() returns, without a close.
    assert dict(ReplyStore(store.path).replies) == {"a": reply("a", "Grüße\u2028 und\nmehr")}
    assert "Grüße" in store.path.read_text(encoding="utf-8")
    assert store.get("a") == reply("a", "Grüße\u2028 und\nmehr")
    assert store.get("b") is None
    with pytest.raises(TypeError):
        store.replies["b"] = reply("b")  # type: ignore[index]


def test_of_one_key_the_first_is_kept(tmp_path: Path) -> None:
    store = filled(tmp_path / "r", "a")
    store.add(reply("a", "9 9"))
    assert store.get("a") == reply("a")
    assert len(store.path.read_bytes().splitlines()) == 1
    store.path.write_bytes(store.path.read_bytes() + store.path.read_bytes().replace(b"8 7", b"1 1"))
    assert ReplyStore(store.path).get("a") == reply("a")


@settings(max_examples=40)
@given(st.data())
def test_a_kill_at_any_byte_costs_the_last_reply_at_most(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("killed") / "r"
    filled(path, "a", "b", "c")
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    store = ReplyStore(path)
    assert len(store.replies) in (whole[:cut].count(b"\n"), whole[:cut].count(b"\n") + 1)
    # Reading changes nothing; asking again what is missing makes the file whole.
    assert path.read_bytes() == whole[:cut]
    for name in ("a", "b", "c"):
        store.add(reply(name), {"messages": []})
    store.close()
    # A line that lacks but its end is a whole reply; the next one would give it its end.
    assert path.read_bytes() in (whole, whole[:-1])


def test_what_a_power_cut_leaves_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "r"
    filled(path, "a")
    path.write_bytes(path.read_bytes() + b"\0" * 40)
    store = ReplyStore(path)
    store.add(reply("b"))
    assert list(ReplyStore(path).replies) == ["a", "b"]


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b'"reply"',
        b'{"reply": 3}',
        b'{"reply": {"key": "x"}}',
        b"\xff\xfe",
        json.dumps({"reply": SOUND | {"text": 3}}).encode(),
        json.dumps({"reply": SOUND | {"prompt_tokens": "10"}}).encode(),
        json.dumps({"reply": SOUND | {"more": ""}}).encode(),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "r"
    filled(path, "a", "b")
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + line + b"\n" + second)
    with pytest.raises(ShepherdError, match="r, line 2, holds no reply"):
        ReplyStore(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ShepherdError, match="cannot be read"):
        ReplyStore(tmp_path)
    (tmp_path / "file").write_text("")
    store = ReplyStore(tmp_path / "other")
    store.path = tmp_path / "file" / "r"
    with pytest.raises(ShepherdError, match="Cannot write"):
        store.add(reply("a"))
    assert store.get("a") is None


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path / "r", "a")
    whole = store.path.read_bytes()

    class Full(room.FileIO):
        def write(self, data: bytes) -> int:  # type: ignore[override]
            if len(data) < 40:
                raise OSError(28, "No space left on device")
            return super().write(data[:20])

    monkeypatch.setattr(room, "FileIO", Full)
    with pytest.raises(ShepherdError, match="the disk is full"):
        store.add(reply("b"))
    assert store.path.read_bytes() == whole
    assert store.get("b") is None


def test_threads_may_share_it(tmp_path: Path) -> None:
    store = ReplyStore(tmp_path / "r")
    names = [f"{thread}-{n}" for thread in range(8) for n in range(25)]

    def add(mine: list[str]) -> None:
        for name in mine:
            store.add(reply(name, "text " * 500))

    threads = [threading.Thread(target=add, args=(names[n::8],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(ReplyStore(store.path).replies) == set(names)


def test_a_closed_store_opens_again(tmp_path: Path) -> None:
    store = filled(tmp_path / "r", "a")
    store.add(reply("b"))
    store.close()
    assert [json.loads(line)["reply"]["key"] for line in store.path.read_text().splitlines()] == ["a", "b"]


REQUEST = Request((Message("system", "s"), Message("user", "u")), "judge", 0.0, 64)


def test_a_key_is_the_sha256_of_the_request() -> None:
    line = (
        '{"max_tokens": 64, "messages": [{"content": "s", "role": "system"}, {"content": "u", "role": "user"}], '
        '"model": "judge", "temperature": 0.0, "turn": 0}'
    )
    assert REQUEST.key == hashlib.sha256(line.encode()).hexdigest()
    assert Request(REQUEST.messages, "judge", 0, 64).key == REQUEST.key


def test_whatever_differs_has_another_key() -> None:
    others = [
        Request(REQUEST.messages[:1], "judge", 0.0, 64),
        Request(REQUEST.messages[::-1], "judge", 0.0, 64),
        Request((Message("user", "s"), Message("user", "u")), "judge", 0.0, 64),
        Request(REQUEST.messages, "other", 0.0, 64),
        Request(REQUEST.messages, "judge", 0.1, 64),
        Request(REQUEST.messages, "judge", 0.0, 65),
        Request(REQUEST.messages, "judge", 0.0, 64, turn=1),
    ]
    assert len({REQUEST.key, *(other.key for other in others)}) == len(others) + 1
