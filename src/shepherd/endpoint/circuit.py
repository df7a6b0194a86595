"""When to stop asking altogether: an endpoint that answers nothing is not asked a thousand times."""

from __future__ import annotations

from shepherd.endpoint.failures import Failure

#: So many requests in a row that had to be given up mean that the next would be, too.
STOP_AFTER = 8


class Circuit:
    """Counts failures between two answers.

    Until the first answer, attempts that look hopeless (a refused key, nothing that listens) count, and fewer do.
    Afterwards only requests that were given up count: a server may be started anew while others wait for it.

    Parameters
    ----------
    first : int
        Requests under way at once, of which the first all fail where nothing can be asked.
    """

    def __init__(self, first: int) -> None:
        self._first = max(2, min(first, STOP_AFTER))
        self._row = 0
        self._answered = False

    def answered(self) -> None:
        """Begin to count anew."""
        self._row, self._answered = 0, True

    def failed(self, failure: Failure, final: bool) -> bool:
        """Count a failed attempt, `final` if there is to be no other, and return whether to stop asking."""
        early = failure.hopeless and not self._answered
        if early or (final and not failure.own):
            self._row += 1
        return self._row >= (self._first if early else STOP_AFTER)
