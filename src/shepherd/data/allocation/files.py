"""Clients somebody else allocated: a folder in the original Shepherd's layout."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from shepherd.data.allocation.base import Allocated, Allocation
from shepherd.data.allocation.dealing import one_client_per_value
from shepherd.data.client_files import CLIENT_COLUMN, read_client_files
from shepherd.data.instructions import Instructions


class ClientFiles(Allocation):
    """Read clients from ``local_training_<i>.json`` or ``.jsonl`` files, one file per client.

    The set-up calls `read` in place of reading its own data path; `allocate` then gives every row to the
    client whose file it came from.

    Attributes
    ----------
    path : str
        The folder that holds the files and, if there is one, ``global_test.json`` or ``.jsonl``.
    """

    name: str = "files"
    path: str = Field(min_length=1, examples=["clients/"])

    def read(self) -> tuple[Instructions, Instructions | None]:
        """Return all clients' training instructions with a ``_client`` column, and the hold-out if any.

        Raises
        ------
        ShepherdError
            If the folder holds no clients, or one of its files cannot be used.
        """
        return read_client_files(Path(self.path).expanduser())

    def allocate(self, instructions: Instructions, seed: int) -> Allocated:
        """Group what `read` returned by client; `seed` is not used. See `Allocation.allocate`."""
        return one_client_per_value(instructions.column(CLIENT_COLUMN))
