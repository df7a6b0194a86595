"""What stands under tables of several runs whose figures do not mean what they seem to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def own_parts_note(labels: Sequence[str]) -> Iterator[str]:
    """Yield that these models' figures say nothing of their clients, where there are any such models.

    Parameters
    ----------
    labels : sequence of str
        The models with parts that are each client's own; see `Record.keeps_own_parts`.
    """
    if labels:
        yield (
            f"Never marked as best: {', '.join(labels)}, of which parts are each client's own and here as they began, "
            "so that the figures say nothing of what clients learnt; `shepherd personalise` tests that."
        )


def preferences_note(measured: bool) -> Iterator[str]:
    """Yield how the figures of held-out pairs are read, where any are `measured`."""
    if measured:
        yield "Pairs right: the share of held-out pairs whose chosen answer is preferred, against the untuned base;"
        yield "Margin: by how many nats. The loss of a run with training.name=dpo is that of the chosen answers,"
        yield "which is not what it minimises."
