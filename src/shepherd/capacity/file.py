"""Clients' configurations as somebody wrote them down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from shepherd.capacity.base import Capacity, Configuration
from shepherd.capacity.listed import Listed, read_listed
from shepherd.errors import ShepherdError
from shepherd.model.adapter import Layout
from shepherd.settings import nearest
from shepherd.stamps import digest, stamped

_KEY = "capacity.path"


class ConfigurationFile(Capacity):
    """Reads what each client holds from a file.

    Attributes
    ----------
    path : str
        YAML or JSON, ``client: {rank: 4, targets: [q_proj], layers: [0, 1]}``, or CSV with the columns ``client``,
        ``rank``, ``targets``, ``layers``, of which several in a cell are apart by spaces. What is left out is whole.
    default : Configuration, optional
        What clients hold that the file does not name; the whole adapter unless told.
    """

    name: str = "file"
    path: str = Field(min_length=1, examples=["capacities.jsonl"])
    default: Configuration | None = None

    def configuration(self, client: int, name: str, size: int, seed: int) -> Configuration:
        """Return what the file says of a client, or the default."""
        found = self._listed().get(name)
        return (self.default or Configuration()) if found is None else found.configuration

    def given(self) -> Iterator[tuple[str, Configuration]]:
        """Yield every line's and the default's; of a file that is not there, as of an old run's, the default's."""
        if self.default is not None:
            yield "default", self.default
        if Path(self.path).expanduser().is_file():
            yield from ((one.where, one.configuration) for one in self._listed().values())

    def check(self, names: Sequence[str], layout: Layout) -> None:
        """Refuse a file that is not there, names somebody unknown, or does not fit; see `Capacity.check`."""
        known = set(names)
        for name, one in self._listed().items():
            if name not in known:
                hint = nearest(name, list(names)) if len(names) <= 1000 else "."
                raise ShepherdError(f"{one.where} does not take part in the run{hint}")
        super().check(names, layout)

    def facts(self) -> dict[str, Any]:
        """Return the file's fingerprint."""
        return {"fingerprint": digest(stamped(self.path, _KEY))}

    def _listed(self) -> Mapping[str, Listed]:
        return read_listed(stamped(self.path, _KEY))
