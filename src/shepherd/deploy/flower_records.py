"""Envelopes as Flower's records: a header of flat values, and buffers as arrays of bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from shepherd.deploy.refusal import Refused
from shepherd.deploy.wire import Envelope

if TYPE_CHECKING:
    from flwr.app import RecordDict

_HEADER, _BUFFERS = "shepherd", "buffers"
#: Flower's categories: a message's type must begin with one of them.
TYPES = {
    "hello": "query.hello",
    "summarise": "query.summarise",
    "train": "train.train",
    "evaluate": "evaluate.evaluate",
}


def to_records(envelope: Envelope) -> RecordDict:
    """Return an envelope as Flower carries it."""
    from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

    arrays = {
        name: Array(np.frombuffer(buffer, dtype=np.uint8)) for name, buffer in envelope.buffers().items()
    }
    return RecordDict({_HEADER: ConfigRecord(dict(envelope.header())), _BUFFERS: ArrayRecord(arrays)})


def from_records(records: RecordDict) -> Envelope:
    """Read an envelope; see `Envelope.read` for what is refused.

    Raises
    ------
    Refused
        If it was not sent by Shepherd.
    """
    try:
        header: dict[str, Any] = dict(records[_HEADER])
        arrays = dict(records[_BUFFERS])
        strange = set(records) - {_HEADER, _BUFFERS}
        buffers = {name: _bytes_of(array) for name, array in arrays.items()}
    except Refused:
        raise
    except Exception:  # Flower's own readers raise whatever they like
        raise Refused("The message could not be read; it was not sent by Shepherd.") from None
    if strange:
        raise Refused("The message has other records than Shepherd's; it was not sent by Shepherd.")
    return Envelope.read(header, buffers)


def _bytes_of(array: Any) -> bytes:
    values = array.numpy()  # numpy's own format, in which it reads no pickle
    if values.dtype != np.uint8 or values.ndim != 1:
        raise Refused("The message holds an array that is not one of bytes; it was not sent by Shepherd.")
    return values.tobytes()
