"""A padded batch of encoded examples, and where in it the labels are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from shepherd.model.dropout import Dropout

#: An example's tokens, and how many of them, from the start, carry no label.
Example = tuple[np.ndarray, int]


class Examples(Protocol):
    """What a batch is made from: encoded examples by row number."""

    def example(self, row: int) -> Example:
        """Return an example."""
        ...


def load(examples: Examples, rows: Iterable[int]) -> list[Example]:
    """Return the examples at `rows`."""
    return [examples.example(int(row)) for row in rows]


def count_labels(examples: Iterable[Example]) -> int:
    """Count the labels; nothing predicts a first token."""
    return sum(len(tokens) - max(unlabelled, 1) for tokens, unlabelled in examples)


@dataclass(frozen=True)
class Batch:
    """Examples side by side, padded on the right.

    With a causal model nothing to the right of a token reaches it, so right padding needs no attention
    mask to be exact.

    Attributes
    ----------
    tokens : LongTensor [examples, length]
        Token ids, without the prefix that is computed elsewhere, if any.
    positions : LongTensor [labels]
        Indices into ``tokens.flatten()`` whose next token is a label.
    targets : LongTensor [labels]
        The labels.
    owners : LongTensor [labels]
        Which example of the batch each label belongs to.
    dropout : Dropout, optional
        What drops out of the adapters' inputs in training.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    targets: torch.Tensor
    owners: torch.Tensor
    dropout: Dropout | None = None


def collate(
    examples: Sequence[Example],
    device: torch.device | str = "cpu",
    start: int = 0,
    keys: Sequence[np.ndarray] | None = None,
) -> Batch:
    """Lay examples side by side; padding is token 0, which no label and no real token sees.

    Parameters
    ----------
    examples : sequence of Example
        The rows.
    device : torch.device
        Where the batch goes.
    start : int
        Leading tokens to leave out: the length of a shared prefix, less than any row's unlabelled tokens.
    keys : sequence of ndarray of uint64, optional
        The dropout keys of the tokens that are not left out, for each example.
    """
    examples = [(tokens[start:], unlabelled - start) for tokens, unlabelled in examples]
    width = max(len(tokens) for tokens, _ in examples)
    grid = np.zeros((len(examples), width), dtype=np.int64)
    positions, targets, owners = [], [], []
    for number, (tokens, unlabelled) in enumerate(examples):
        grid[number, : len(tokens)] = tokens
        # The first token has nothing before it to be predicted from.
        first = max(unlabelled, 1)
        positions.append(np.arange(first - 1, len(tokens) - 1) + number * width)
        targets.append(tokens[first:])
        owners.append(np.full(len(tokens) - first, number))

    def tensor(arrays: list[np.ndarray]) -> torch.Tensor:
        """Join and move."""
        return torch.from_numpy(np.concatenate(arrays).astype(np.int64)).to(device)

    dropout = None
    if keys is not None:
        table = np.zeros(grid.shape, dtype=np.uint64)
        for number, own in enumerate(keys):
            table[number, : len(own)] = own
        dropout = Dropout(torch.from_numpy(table.view(np.int64).reshape(-1)).to(device))
    tokens_on_device = torch.from_numpy(grid).to(device)
    return Batch(tokens_on_device, tensor(positions), tensor(targets), tensor(owners), dropout)
