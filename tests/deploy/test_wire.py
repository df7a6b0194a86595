"""The wire form: what was sent is what is read, bit for bit, and nothing malformed is read at all."""

from __future__ import annotations

import contextlib
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from harmful import Harm
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from shepherd.deploy.messages import Evaluation, Introduction, Summary, Told
from shepherd.deploy.refusal import Refused
from shepherd.deploy.wire import KINDS, Envelope, declared, read_tree
from shepherd.tree import most_bytes, pack, to_bytes

_DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool]
_KEYS = st.text("abcdefgh_0é", min_size=1, max_size=4)
_PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9)


@st.composite
def tensors(draw: Any) -> torch.Tensor:
    """Any bits in any shape, NaN and subnormal numbers among them."""
    dtype = draw(st.sampled_from(_DTYPES))
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    count = torch.Size(shape).numel() * dtype.itemsize
    bits = draw(st.binary(min_size=count, max_size=count))
    if dtype is torch.bool:
        bits = bytes(bit & 1 for bit in bits)
    return (
        torch.tensor(list(bits), dtype=torch.uint8).view(dtype).reshape(shape)
        if count
        else torch.zeros(shape, dtype=dtype)
    )


_TREES = st.recursive(
    st.dictionaries(_KEYS, _PLAIN | st.lists(_PLAIN, max_size=3) | tensors(), max_size=3),
    lambda inner: st.dictionaries(_KEYS, inner | _PLAIN | tensors(), max_size=3),
    max_leaves=6,
)


def same(one: Any, other: Any) -> bool:
    """Say whether two trees are the same to the last bit."""
    if isinstance(one, torch.Tensor):
        alike = isinstance(other, torch.Tensor) and (one.dtype, one.shape) == (other.dtype, other.shape)
        return alike and bits_of(one) == bits_of(other)
    if isinstance(one, dict):
        alike = isinstance(other, dict) and one.keys() == other.keys()
        return alike and all(same(value, other[key]) for key, value in one.items())
    return type(one) is type(other) and bool(one == other)


def bits_of(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


@given(
    kind=st.sampled_from(KINDS),
    run=st.text("0123456789abcdef", max_size=64),
    round=st.integers(0, 2**31 - 1),
    body=_TREES,
    adapter=st.binary(max_size=30),
)
def test_what_is_sent_is_read(kind: str, run: str, round: int, body: Any, adapter: bytes) -> None:
    sent = Envelope(kind, run, round, body, adapter, "No.")
    read = Envelope.read(sent.header(), sent.buffers())
    assert (read.kind, read.run, read.round, read.adapter, read.error) == (kind, run, round, adapter, "No.")
    assert same(read.body, body)
    assert all(type(value) in (int, str) for value in sent.header().values())


@given(_TREES)
def test_no_tree_is_longer_than_was_reckoned(tree: Any) -> None:
    tensors: dict[str, torch.Tensor] = {}
    pack(tree, "tree", tensors)
    written = len(to_bytes(tree))
    assert written <= most_bytes(tree) <= written + 300 * (len(tensors) + 1)


def test_an_answer_belongs_to_one_question() -> None:
    asked = Envelope("train", "a", 3)
    assert asked.answer({"x": 1}).answers(asked)
    assert asked.refusal("No.").answers(asked)
    for other in (Envelope("hello", "a", 3), Envelope("train", "b", 3), Envelope("train", "a", 2)):
        assert not other.answers(asked)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": 2}, "version 2 of Shepherd's protocol .* same release"),
        ({"version": None}, "version \\?"),
        ({"version": "1"}, "version \\?"),
        ({"kind": "shell"}, "no message of that kind"),
        ({"kind": 3}, "other fields"),
        ({"round": True}, "other fields"),
        ({"round": -1}, "other parts"),
        ({"round": 2**31}, "other parts"),
        ({"run": ["a"]}, "other fields"),
        ({"run": "a" * 65}, "longer than"),
        ({"error": "a" * 2001}, "longer than"),
        ({"error": None}, "other fields"),
        ({"extra": 1}, "other fields"),
    ],
)
def test_a_header_that_is_none_of_ours_is_refused(changes: dict[str, Any], said: str) -> None:
    sent = Envelope("train", "a")
    with pytest.raises(Refused, match=said):
        Envelope.read({**sent.header(), **changes}, sent.buffers())


@pytest.mark.parametrize("missing", ["version", "kind", "run", "round", "error"])
def test_a_header_without_one_of_its_fields_is_refused(missing: str) -> None:
    sent = Envelope("train", "a")
    with pytest.raises(Refused):
        Envelope.read({key: value for key, value in sent.header().items() if key != missing}, sent.buffers())


@pytest.mark.parametrize(
    "change", [lambda b: {"body": b["body"]}, lambda b: {**b, "more": b""}, lambda b: {}]
)
def test_other_buffers_are_refused(change: Callable[[dict[str, bytes]], dict[str, bytes]]) -> None:
    sent = Envelope("train", "a")
    with pytest.raises(Refused, match="other parts"):
        Envelope.read(sent.header(), change(sent.buffers()))


def holding(values: Any, **tensors: torch.Tensor) -> bytes:
    """A body whose JSON part is `values`."""
    text = values if isinstance(values, bytes) else json.dumps(values).encode()
    return save({"$values": torch.frombuffer(bytearray(text), dtype=torch.uint8), **tensors})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        pickle.dumps(Harm()),
        to_bytes({"x": torch.ones(4)})[:-1],
        to_bytes({"x": torch.ones(4)}) + b"0",
        (2**40).to_bytes(8, "little") + b"{}",
        (99 * 10**6).to_bytes(8, "little") + b" " * 1000,
        (2).to_bytes(8, "little") + b"{}",
        save({"x": torch.ones(2)}),
        save({"$values": torch.ones(2)}),
        save({"$values": torch.ones(2, dtype=torch.bfloat16)}),
        holding(b"{"),
        holding(b"\xff\xfe"),
        holding(b"[" * 100_000),
        holding(b'{"x": ' * 100_000),
        holding(b"9" * 5000),
        holding([1, 2]),
        holding("text"),
        holding({"x": {"$tensor": "missing"}}),
        holding({"x": {"$tensor": {"a": 1}}}),
        holding({"x": {"$tensor": [1]}}),
        holding({"$tensor": "x"}, x=torch.ones(2)),
        holding(b'{"\\ud800": {"$tensor": "x"}}', x=torch.ones(2)),
    ],
    ids=lambda body: f"{len(body)} bytes",
)
def test_a_body_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(Refused):
        read_tree(body)


def test_a_body_whose_tensors_stand_in_many_places_is_as_large_as_it_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = holding({str(place): {"$tensor": "x"} for place in range(100)}, x=torch.ones(10_000))
    assert len(to_bytes(read_tree(body))) > 90 * len(body)
    monkeypatch.setattr("shepherd.deploy.wire.LARGEST_BODY", 10 * len(body))
    with pytest.raises(Refused, match=r"unfolds to 4,000,000 bytes; .* are the most"):
        read_tree(body)


def test_a_body_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    body = to_bytes({"x": 1})
    monkeypatch.setattr("shepherd.deploy.wire.LARGEST_BODY", len(body))
    assert read_tree(body) == {"x": 1}
    monkeypatch.setattr("shepherd.deploy.wire.LARGEST_BODY", len(body) - 1)
    with pytest.raises(Refused, match="are the most"):
        read_tree(body)


@given(st.binary(max_size=200), st.integers(0, 400))
def test_no_bytes_are_anything_but_refused_or_read(garbage: bytes, place: int) -> None:
    body = to_bytes({"a": {"b": torch.ones(3), "c": [1, 2.5, None]}})
    for broken in (garbage, body[:place], body[:place] + garbage + body[place + len(garbage) :]):
        with contextlib.suppress(Refused):
            assert isinstance(read_tree(broken), dict)


@dataclass(frozen=True)
class Drawn:
    """A message with a tensor in it."""

    drawn: torch.Tensor
    count: int


EVALUATED = {"loss": 1.5, "tokens": 10, "examples": 2, "seconds": 0.1}


def test_a_declared_message_is_read() -> None:
    assert declared(Evaluation, EVALUATED) == Evaluation(1.5, 10, 2, 0.1)
    told = Told({"rounds": 1}, 3, 0)
    assert declared(Told, read_tree(to_bytes(told.to_tree()))) == told
    assert torch.equal(declared(Drawn, {"drawn": torch.ones(2), "count": 2}).drawn, torch.ones(2))


@pytest.mark.parametrize(
    ("kind", "tree", "said"),
    [
        (Evaluation, {**EVALUATED, "loss": float("nan")}, "'loss'"),
        (Evaluation, {**EVALUATED, "loss": float("inf")}, "'loss'"),
        (Evaluation, {**EVALUATED, "loss": 10**400}, "'loss'"),
        (Evaluation, {**EVALUATED, "loss": "1.5"}, "'loss'"),
        (Evaluation, {**EVALUATED, "tokens": 1.0}, "'tokens'"),
        (Evaluation, {**EVALUATED, "tokens": True}, "'tokens'"),
        (Evaluation, {**EVALUATED, "tokens": -1}, "'tokens'"),
        (Evaluation, {**EVALUATED, "tokens": 2**63}, "'tokens'"),
        (Evaluation, {"loss": 1.5}, r"other fields than it must have \(examples, seconds, tokens\)"),
        (Evaluation, {**EVALUATED, "text": "x"}, r"\(text\)"),
        (Evaluation, {**EVALUATED, "\x1b[2J" + "x" * 99: 1}, r"\( \[2Jx{36}\)"),
        (Drawn, {"drawn": {"$values": 1}, "count": 1}, "'drawn' that is no torch.Tensor"),
        (Drawn, {"drawn": [1.0], "count": 1}, "'drawn'"),
        (Drawn, {"drawn": torch.ones(1), "count": torch.ones(1)}, "'count'"),
        (Summary, {"message": [], "kept": "", "lasting": "", "seconds": 0}, "'message'"),
        (Summary, {"message": {}, "kept": {}, "lasting": "", "seconds": 0}, "'kept'"),
    ],
)
def test_a_message_that_was_not_declared_so_is_refused(kind: Any, tree: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        declared(kind, tree)


def test_versions_are_texts_by_name() -> None:
    texts = dict.fromkeys(("data", "base", "layout", "device"), "x")
    said: dict[str, Any] = (
        texts
        | {"drawn": [0.5], "categories": {"a": 1}}
        | dict.fromkeys(("examples", "truncated", "held_out", "threads"), 1)
    )
    assert declared(Introduction, {**said, "versions": {"a": "1"}}).versions == {"a": "1"}
    with pytest.raises(Refused, match="'versions'"):
        declared(Introduction, {**said, "versions": {"a": 1}})


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("device", "\ud800"),
        ("device", "cpu\x1b[2J"),
        ("device", "x" * 201),
        ("versions", {"torch": "\udfff"}),
        ("versions", {"\n": "1"}),
        ("versions", {str(number): "1" for number in range(65)}),
    ],
    ids=["surrogate", "control", "long", "surrogate in a version", "control in a name", "many"],
)
def test_texts_that_no_file_or_terminal_can_take_are_refused(part: str, value: Any) -> None:
    texts = dict.fromkeys(("data", "base", "layout", "device"), "x")
    said: dict[str, Any] = (
        texts
        | {"drawn": [0.5], "categories": {"a": 1}}
        | dict.fromkeys(("examples", "truncated", "held_out", "threads"), 1)
    )
    with pytest.raises(Refused, match=f"'{part}'"):
        declared(Introduction, {**said, "versions": {"a": "1"}, part: value})


def test_words_from_outside_move_no_cursor_and_are_cut() -> None:
    said = Envelope("train", "a").refusal("no\x1b[2J\r\nWARNING: " + "x" * 3000)
    read = Envelope.read(said.header(), said.buffers())
    assert read.error.startswith("no [2J  WARNING: xxx")
    assert read.error.isprintable()
    assert len(read.error) == 2000
