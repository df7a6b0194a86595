"""What crosses between coordinator and sites, and how it is read: nothing from outside is trusted.

A message is an envelope with a small body (a tree of tensors and JSON values) and, where one is asked for, an adapter
in its wire form. Both are safetensors buffers, so float16 and bfloat16 come through unchanged and no pickle is read.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError

from shepherd.deploy.refusal import Refused, printable
from shepherd.tree import Tree, from_bytes, pack, to_bytes

#: Raise it when a message means something else; both ends must have the same.
VERSION = 1
KINDS = ("hello", "measure", "summarise", "train", "evaluate")
#: A body is read as a whole, so it may not be large; the adapter travels beside it.
LARGEST_BODY = 256 * 2**20
_LONGEST_ERROR = 2000
#: What reading a tree ends with that is none.
UNREADABLE = (
    SafetensorError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
    OverflowError,
    AttributeError,
)
#: A text of a declared message is a fingerprint, a name or a version; it is written to files and to terminals.
_LONGEST_TEXT, _MOST_TEXTS = 200, 64
_MOST_FIGURES, _MOST_COUNTS = 64, 1000


@dataclass(frozen=True)
class Envelope:
    """One message, or the answer to one.

    Attributes
    ----------
    kind : str
        What is asked, one of `KINDS`; an answer has the kind of what it answers.
    run : str
        The run it belongs to.
    round : int
        The round, from 0; 0 before the first.
    body : Tree
        What is said.
    adapter : bytes
        An adapter's wire form; empty where there is none.
    error : str
        Of an answer: why there is none, in a sentence.
    """

    kind: str
    run: str
    round: int = 0
    body: Tree = field(default_factory=dict)
    adapter: bytes = b""
    error: str = ""

    def answer(self, body: Tree, adapter: bytes = b"") -> Envelope:
        """Return the answer to this message."""
        return Envelope(self.kind, self.run, self.round, body, adapter)

    def refusal(self, sentence: str) -> Envelope:
        """Return the answer that says why there is none."""
        return Envelope(self.kind, self.run, self.round, error=sentence[:_LONGEST_ERROR])

    def answers(self, asked: Envelope) -> bool:
        """Say whether this is an answer to `asked`, and not to another round, run or question."""
        return (self.kind, self.run, self.round) == (asked.kind, asked.run, asked.round)

    def header(self) -> dict[str, str | int]:
        """Return everything but the buffers, as flat values."""
        return {
            "version": VERSION,
            "kind": self.kind,
            "run": self.run,
            "round": self.round,
            "error": self.error,
        }

    def buffers(self) -> dict[str, bytes]:
        """Return the buffers, by name."""
        return {"body": to_bytes(self.body), "adapter": self.adapter}

    @classmethod
    def read(cls, header: Mapping[str, Any], buffers: Mapping[str, bytes]) -> Envelope:
        """Read what came over the wire.

        Raises
        ------
        Refused
            If it is of another version, of a kind that does not exist, or not what any honest sender sends.
        """
        version = header.get("version")
        if version != VERSION:
            raise Refused(
                f"The message speaks version {version if isinstance(version, int) else '?'} of Shepherd's protocol and "
                f"this side version {VERSION}; install the same release of fedshepherd on both sides."
            )
        kinds = {"version": int, "kind": str, "run": str, "round": int, "error": str}
        if set(header) != set(kinds) or any(type(header[key]) is not kinds[key] for key in kinds):
            raise Refused(
                "The message's header has other fields than Shepherd's; it was not sent by Shepherd."
            )
        if header["kind"] not in KINDS:
            raise Refused(f"There is no message of that kind; this release knows {', '.join(KINDS)}.")
        if set(buffers) != {"body", "adapter"} or not 0 <= header["round"] < 2**31:
            raise Refused("The message has other parts than Shepherd's; it was not sent by Shepherd.")
        if len(header["run"]) > 64 or len(header["error"]) > _LONGEST_ERROR:
            raise Refused(
                "The message's header is longer than any of Shepherd's; it was not sent by Shepherd."
            )
        given = {key: header[key] for key in ("kind", "run", "round")}
        return cls(
            **given,
            error=printable(header["error"]),
            body=read_tree(buffers["body"]),
            adapter=buffers["adapter"],
        )


def read_tree(data: bytes) -> dict[str, Any]:
    """Read a tree from outside; only safetensors and JSON are read.

    Raises
    ------
    Refused
        If it is too large or none, or could not be written again: whoever reads it counts its bytes.
    """
    if len(data) > LARGEST_BODY:
        raise Refused(f"The message's body has {len(data):,} bytes; {LARGEST_BODY:,} are the most.")
    try:
        tree = from_bytes(data)
        unfolded = _tensor_bytes(tree)
    except UNREADABLE:
        raise Refused("The message's body is not in safetensors form; it was not sent by Shepherd.") from None
    if not isinstance(tree, dict):
        raise Refused("The message's body is no mapping; it was not sent by Shepherd.")
    if unfolded > LARGEST_BODY:
        raise Refused(f"The message's body unfolds to {unfolded:,} bytes; {LARGEST_BODY:,} are the most.")
    return tree


def _tensor_bytes(tree: Tree) -> int:
    """Return how many bytes its tensors have when each is written where it stands: one may stand in many places.

    Raises
    ------
    UnicodeEncodeError
        If a tensor stands under a name that cannot be written.
    """
    tensors: dict[str, torch.Tensor] = {}
    pack(tree, "tree", tensors)
    "".join(tensors).encode()
    return sum(tensor.nbytes for tensor in tensors.values())


_Declared = TypeVar("_Declared")
_LARGEST_FLOAT = sys.float_info.max


def declared(kind: type[_Declared], tree: Tree) -> _Declared:
    """Read a declared message: a dataclass of bool, int, float, str, dict, list or Tensor, every field there.

    Raises
    ------
    Refused
        If a field is missing, unknown, of another type, negative, not finite, or a text that is long or not printable.
    """
    names = {one.name: str(one.type) for one in fields(kind)}  # type: ignore[arg-type]
    if set(tree) != set(names):
        wrong = ", ".join(printable(str(name))[:40] for name in sorted(set(tree) ^ set(names))[:3])
        raise Refused(f"The message '{kind.__name__}' has other fields than it must have ({wrong}).")
    for name, wanted in names.items():
        if not _fits(tree[name], wanted):
            raise Refused(
                f"The message '{kind.__name__}' has a '{name}' that is no {wanted}, or out of range."
            )
    return kind(**tree)


def _fits(value: Any, wanted: str) -> bool:
    """Say whether a value is what a field's annotation says: one of the types of a declared message."""
    if wanted == "bool":
        return isinstance(value, bool)
    if wanted == "int":
        return type(value) is int and 0 <= value < 2**63
    if wanted == "float":
        return type(value) in (int, float) and -_LARGEST_FLOAT <= value <= _LARGEST_FLOAT
    if wanted == "Any":
        return True
    if wanted == "str":
        return _is_short_text(value)
    if wanted == "list[float]":
        figures = isinstance(value, list) and len(value) <= _MOST_FIGURES
        return figures and all(_fits(figure, "float") for figure in value)
    if wanted == "dict[str, int]":
        counts = isinstance(value, dict) and len(value) <= _MOST_COUNTS
        return counts and all(_is_short_text(name) and _fits(count, "int") for name, count in value.items())
    if wanted == "dict[str, str]":
        texts = [*value, *value.values()] if isinstance(value, dict) else [None]
        return len(texts) <= 2 * _MOST_TEXTS and all(map(_is_short_text, texts))
    return isinstance(value, {"Tree": dict, "torch.Tensor": torch.Tensor}[wanted])


def counts_fit(counts: dict[str, int]) -> bool:
    """Say whether a message may hold counts: not if they are too many, or a name is too long or unprintable."""
    return _fits(counts, "dict[str, int]")


def _is_short_text(value: Any) -> bool:
    """Say whether a value is a text that any file and terminal can show: no control character, no lone surrogate."""
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT and value.isprintable()
