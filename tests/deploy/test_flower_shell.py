"""Flower is kept off the terminal, whenever it is imported."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("flwr")

from shepherd.deploy.flower_shell import be_quiet


@pytest.mark.parametrize("said", [logging.DEBUG, logging.WARNING])
def test_flowers_own_words_do_not_reach_the_terminal(
    said: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    flower = logging.getLogger("flwr")
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(flower, "handlers", [])
    monkeypatch.setattr(flower, "level", logging.NOTSET)
    monkeypatch.delitem(sys.modules, "flwr.supercore.logger", raising=False)
    be_quiet(tmp_path)
    from flwr.supercore.logger import log  # setting its level, unless that was done before

    assert not flower.isEnabledFor(said)  # or the command line's own handler would show it
    log(said, "what nobody asked for")
    assert "nobody asked" not in "".join(capfd.readouterr())
    log(logging.ERROR, "what matters")
    assert "what matters" in capfd.readouterr().err
