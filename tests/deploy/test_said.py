"""What a site says beside its update may be anything, and must end nobody's run but its own part in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from memory_link import MemoryLink
from site_files import NAMES, all_sites, write_site_files
from test_flower_backend import Losses, over, site

from shepherd.deploy.wire import Envelope
from shepherd.tree import save_tensors
from tiny_runs import lines, named, tiny_values


@dataclass(frozen=True)
class Crafted(Envelope):
    """An answer whose body was not written by Shepherd."""

    part: str = "said"
    said: str = "{}"

    def buffers(self) -> dict[str, bytes]:
        """Return the body with `said` put into a part of it as JSON."""
        body = json.dumps({**self.body, self.part: json.loads(self.said)})
        data = torch.frombuffer(bytearray(body.encode()), dtype=torch.uint8)
        return {"body": save_tensors({"$values": data, "x": torch.zeros(2)}), "adapter": self.adapter}


@pytest.mark.parametrize(("kind", "part"), [("train", "said"), ("summarise", "message")])
def test_a_site_that_says_what_nobody_asked_for_ends_no_run(
    kind: str, part: str, tiny_base: Path, tmp_path: Path
) -> None:
    files = write_site_files(tmp_path)
    honest = {name: site(name, files, tmp_path / "sites", tiny_base).answer for name in NAMES}
    last = NAMES[-1]

    def crafty(asked: Envelope) -> Envelope:
        """Answer as ever, but say something under a name that no tensor can have."""
        answer = honest[last](asked)
        if asked.kind != kind:
            return answer
        return Crafted(**vars(answer), part=part, said='{"\\ud800": {"$tensor": "x"}}')

    config = named(tiny_values(tiny_base, tmp_path, rounds=1, coreset="kmeans", **all_sites(files)))
    losses = Losses()
    over(MemoryLink({**honest, last: crafty}), config, observers=[losses]).run()
    heard: list[Any] = [line["client"] for line in lines(config) if line["scope"] == "client"]
    assert heard == [name for name in NAMES if name != last]
    assert [(round, name) for round, name, _ in losses.heard] == [(1, last)]
