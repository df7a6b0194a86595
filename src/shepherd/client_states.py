"""What stateful clients keep between their participations: on disk, since there may be a million of them.

One file for each client and round it took part in, written before the round's checkpoint and read when the client
comes again. In memory are the last cohort's, and two numbers for everybody else.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from shepherd.errors import ShepherdError
from shepherd.files import write_atomically
from shepherd.tree import Tree, from_bytes, to_bytes


@dataclass(frozen=True)
class ClientStates(Mapping[str, Tree]):
    """States by client number.

    Attributes
    ----------
    folder : Path, optional
        Where they are written; without one they all stay in memory.
    files : mapping of str to (int, int)
        Of each client the last round it took part in, and its file's checksum (CRC-32).
    fresh : mapping of str to bytes
        The last cohort's, as they are written.
    """

    folder: Path | None = None
    files: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    fresh: Mapping[str, bytes] = field(default_factory=dict)

    def __getitem__(self, client: str) -> Tree:
        if client in self.fresh or self.folder is None:
            return from_bytes(self.fresh[client])
        round, checksum = self.files[client]
        path = self._path(client, round)
        try:
            data = path.read_bytes()
            if zlib.crc32(data) != checksum:
                raise ValueError("it does not match its checksum")
            return from_bytes(data)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise ShepherdError(
                f"What client {client} kept, {path}, is damaged ({error}); restore the file, or begin the run anew."
            ) from error

    def __iter__(self) -> Iterator[str]:
        return iter({**self.files, **self.fresh})

    def __len__(self) -> int:
        return len({**self.files, **self.fresh})

    def after(self, kept: Mapping[str, Tree]) -> ClientStates:
        """Return the states after a round in which some clients kept something."""
        fresh = {client: to_bytes(state) for client, state in kept.items()}
        return ClientStates(self.folder, self.files, fresh if self.folder else {**self.fresh, **fresh})

    def filed(self, folder: Path, round: int) -> ClientStates:
        """Return the states with a file for each that is fresh as of `round`; `write` writes them."""
        own = {client: (round, zlib.crc32(data)) for client, data in self.fresh.items()}
        return ClientStates(folder, {**self.files, **own}, self.fresh)

    def write(self) -> None:
        """Write the last cohort's files."""
        for client, data in self.fresh.items():
            write_atomically(self._path(client, self.files[client][0]), data)

    def sweep(self, oldest: int) -> None:
        """Remove the last cohort's files that no checkpoint from round `oldest` on needs."""
        for client in self.fresh if self.folder else ():
            rounds = sorted(int(path.stem) for path in self._path(client, 0).parent.glob("*.safetensors"))
            needed = max((round for round in rounds if round <= oldest), default=0)
            for round in rounds:
                if round < needed:
                    self._path(client, round).unlink()

    @staticmethod
    def drop_uncommitted(folder: Path, round: int) -> None:
        """Remove what a killed process left of rounds after `round`, whole or half written."""
        for path in folder.rglob("*"):
            if path.suffix == ".partial" or (path.suffix == ".safetensors" and int(path.stem) > round):
                path.unlink()

    def to_json(self) -> dict[str, Any]:
        """Return which file is whose."""
        return {client: list(file) for client, file in self.files.items()}

    @classmethod
    def from_json(cls, folder: Path, files: Mapping[str, Any]) -> ClientStates:
        """Undo `to_json`."""
        return cls(
            folder, {client: (int(round), int(checksum)) for client, (round, checksum) in files.items()}
        )

    def _path(self, client: str, round: int) -> Path:
        assert self.folder is not None
        # No folder holds more than a thousand others, however many clients there are.
        return self.folder / f"{int(client) // 1000}" / client / f"{round:06d}.safetensors"
