"""What a SuperNode's words mean to a site's owner."""

from __future__ import annotations

import pytest

from shepherd.deploy.site_process import _Listener


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        (
            "ssl: CERTIFICATE_VERIFY_FAILED: certificate has expired",
            "shows a certificate that has ended, that is",
        ),
        ("ERROR : [code: 2004] Node activation failed", "does not let this site in"),
        ("INFO : Sent 2004 bytes to node 120041", ""),
        ("Connection attempt failed, retrying in 5 seconds", "The coordinator at x:1 cannot be reached"),
        ("SuperNode ID: 2004", "Connected to the coordinator."),
    ],
)
def test_what_it_says_is_kept_and_told_once(line: str, meaning: str) -> None:
    kept: list[str] = []
    told: list[str] = []
    listener = _Listener(kept.append, told.append, "x:1")
    for _ in range(2):
        listener.hear(line)
    assert kept == [f"{line}\n"] * 2
    assert len(told) == bool(meaning)
    assert meaning in "".join(told)
