"""Devices that were measured: a file, one device a row."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from pydantic import Field

from shepherd.errors import ShepherdError
from shepherd.simulation.devices import PROFILE_COLUMNS, Devices, Profiles
from shepherd.simulation.traces import Assignment, assigned, check_named, numbered_rows
from shepherd.stamps import Stamp, digest, stamped


class DeviceFile(Devices):
    """Devices from a CSV file or JSON lines with the columns of `Profiles`, and ``client`` where they have names.

    Attributes
    ----------
    path : str
        The file. Every row has ``flops``, ``memory_bytes``, ``download_bytes_per_s``, ``upload_bytes_per_s`` and
        ``latency_s``.
    assign : str
        Whether a client has one of the rows, ``drawn`` by its address, or the row whose ``client`` is its name
        (``by_name``).
    """

    name: str = "file"
    path: str = Field(examples=["devices.csv"])
    assign: Assignment = "drawn"

    def profiles(self, clients: Sequence[int] | np.ndarray, names: Sequence[str], seed: int) -> Profiles:
        """Return what the file says of each client's device; see `Devices.profiles`."""
        rows, everybody = _read(stamped(self.path, "system.devices.path"), self.assign)
        return everybody.at(assigned(self.assign, rows, clients, names, (seed, "device")))

    def check(self, names: Sequence[str]) -> str:
        """Read the file, refuse one that leaves a client out, and return its fingerprint."""
        stamp = stamped(self.path, "system.devices.path")
        check_named(self.path, self.assign, _read(stamp, self.assign)[0], names)
        return digest(stamp)


@lru_cache(maxsize=4)
def _read(stamp: Stamp, assign: Assignment) -> tuple[dict[str, int], Profiles]:
    """Return the place of every row by whose it is, and the devices."""
    named = assign == "by_name"
    rows: dict[str, int] = {}
    found: list[list[float]] = []
    client_column = "required" if named else "optional"
    for place, client, numbers in numbered_rows(stamp[0], PROFILE_COLUMNS, client_column):  # type: ignore[arg-type]
        for name in PROFILE_COLUMNS:
            if numbers[name] == 0 and name != "latency_s":
                raise ShepherdError(f"{place} has 0 as its '{name}'; give a number above 0.")
        whose = client if named and client is not None else str(len(found))
        if whose in rows:
            raise ShepherdError(f"{place} is a second row of client '{whose}'; leave one.")
        rows[whose] = len(found)
        found.append([numbers[name] for name in PROFILE_COLUMNS])
    return rows, Profiles(*np.array(found, dtype=np.float64).T)
