"""Tests of paired differences: is what one method is ahead of another more than chance?

The pairs are whatever belongs together: two methods' figures of the same seed, or of the same question. All tests
are two-sided. Which differences are of interest, and what they are called, is not known here.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence

import numpy as np

#: Up to so many pairs every pattern of flips is tried (2^16 = 65,536); beyond, patterns are drawn.
MOST_EXACT = 16
DRAWS = 99_999
_CHUNK = 4096


def paired_t(differences: Sequence[float]) -> float | None:
    """Return the two-sided p-value of Student's paired t-test (Student, Biometrika 6, 1908).

    Parameters
    ----------
    differences : sequence of float
        One method less the other, pair by pair.

    Returns
    -------
    float or None
        From 0 to 1; of differences that are all the same its limit, 1 if they are zero and 0 if not. None for
        fewer than two pairs, which have no spread, and where a difference is not finite.
    """
    if not _testable(differences):
        return None
    mean, error = _mean_and_error(differences)
    if error == 0:
        return 0.0 if mean else 1.0
    from scipy.special import stdtr  # not scipy.stats: a table need not wait a second for it

    return float(2 * stdtr(len(differences) - 1, -abs(mean / error)))


def t_interval(differences: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """Return the interval of the mean difference that belongs to `paired_t`, as (low, high).

    Parameters
    ----------
    differences : sequence of float
        One method less the other, pair by pair.
    level : float
        How often such intervals hold the true mean, between 0 and 1. The interval leaves 0 out exactly where the
        p-value is below 1 - `level`.

    Returns
    -------
    tuple of float or None
        None for fewer than two pairs, and where a difference is not finite.
    """
    if not _testable(differences):
        return None
    from scipy.special import stdtrit

    mean, error = _mean_and_error(differences)
    reach = error * float(stdtrit(len(differences) - 1, (1 + level) / 2))
    return mean - reach, mean + reach


def sign_flip(differences: Sequence[float], seed: int = 0) -> float | None:
    """Return the two-sided p-value of Fisher's sign-flip test (The Design of Experiments, 1935, section 21).

    If the methods are alike, every difference might as well have had the other sign; the p-value is the share of
    such flips whose sum is as far from zero as the one observed. Nothing else is assumed, and nothing normal. Since
    the observed signs and their opposites always count, it is never below `least_sign_flip`.

    Parameters
    ----------
    differences : sequence of float
        One method less the other, pair by pair.
    seed : int
        Of more than 16 pairs, which flips are drawn (99,999, with the observed one counted among them).

    Returns
    -------
    float or None
        From 0 (never reached) to 1. None without a pair, and where a difference is not finite.
    """
    values = np.asarray(differences, dtype=np.float64)
    if not len(values) or not np.isfinite(values).all():
        return None
    # Sums of the same numbers in another order differ in their last bits; they count as equal.
    reached = abs(values.sum()) - 1e-12 * np.abs(values).sum()
    exact = len(values) <= MOST_EXACT
    patterns = _all_signs(len(values)) if exact else _drawn_signs(len(values), seed)
    extreme = sum(int((np.abs(signs @ values) >= reached).sum()) for signs in patterns)
    return extreme / 2 ** len(values) if exact else (extreme + 1) / (DRAWS + 1)


def least_sign_flip(pairs: int) -> float:
    """Return the smallest p-value that so many pairs can give in `sign_flip`: 0.25 for three."""
    return max(2.0 ** (1 - pairs), 1 / (DRAWS + 1) if pairs > MOST_EXACT else 0.0)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct p-values for how many there are (Holm, Scandinavian Journal of Statistics 6, 1979).

    The smallest is multiplied by their number, the next by one less and so on; none gets below one before it. Then
    the chance that any difference below 0.05 is no difference at all is at most 0.05, however the tests depend on
    one another.

    Parameters
    ----------
    p_values : sequence of float or None
        A p-value for each comparison; None where there was nothing to test, which does not count.
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for before, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - before)))
        corrected[place] = largest
    return corrected


def _testable(differences: Sequence[float]) -> bool:
    return len(differences) > 1 and all(map(math.isfinite, differences))


def _mean_and_error(differences: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its standard error."""
    return statistics.fmean(differences), statistics.stdev(differences) / math.sqrt(len(differences))


def _all_signs(pairs: int) -> Iterator[np.ndarray]:
    """Yield every pattern of signs, some thousands of rows at a time."""
    for start in range(0, 2**pairs, _CHUNK):
        numbers = np.arange(start, min(start + _CHUNK, 2**pairs))
        yield 1.0 - 2.0 * (numbers[:, None] >> np.arange(pairs) & 1)


def _drawn_signs(pairs: int, seed: int) -> Iterator[np.ndarray]:
    from shepherd.randomness import generator  # brings torch with it

    draw = generator(seed, "sign flips", pairs)
    for start in range(0, DRAWS, _CHUNK):
        yield 1.0 - 2.0 * draw.integers(0, 2, (min(_CHUNK, DRAWS - start), pairs))
