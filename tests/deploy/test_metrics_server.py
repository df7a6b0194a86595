"""Prometheus metrics: scraped over HTTP, from this machine only, gone when the run is."""

from __future__ import annotations

import re
import socket
import urllib.request
from dataclasses import replace

import pytest
from free_ports import free_port

pytest.importorskip("prometheus_client")

from shepherd.deploy.metrics_server import serving_metrics
from shepherd.deploy.watch import Watch
from shepherd.errors import ShepherdError


@pytest.fixture
def watch() -> Watch:
    return Watch("lambs", ["anna", 'b"erta'])


@pytest.fixture
def port() -> int:
    return free_port()


def scraped(port: int) -> dict[str, float]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")
    }


def test_they_say_how_it_stands_now(watch: Watch, port: int) -> None:
    with serving_metrics(watch, port):
        before = scraped(port)
        assert before['shepherd_round{run="lambs"}'] == 0
        assert not any(name.startswith("shepherd_loss") for name in before)
        watch.now.round, watch.now.rounds, watch.now.loss = 2, 9, 1.5
        watch.now.sites["anna"] = replace(
            watch.now.sites["anna"], online=True, rounds=2, losses=1, seconds=4.5, bytes_up=10, bytes_down=20
        )
        after = scraped(port)
    anna = '{run="lambs",site="anna"}'
    assert {name: value for name, value in after.items() if name.endswith(anna)} == {
        f"shepherd_site_online{anna}": 1,
        f"shepherd_site_rounds_total{anna}": 2,
        f"shepherd_site_lost_total{anna}": 1,
        f"shepherd_site_round_seconds{anna}": 4.5,
        f"shepherd_site_sent_bytes_total{anna}": 10,
        f"shepherd_site_received_bytes_total{anna}": 20,
    }
    assert after['shepherd_site_online{run="lambs",site="b\\"erta"}'] == 0
    assert after['shepherd_loss{run="lambs"}'] == 1.5
    assert all(re.fullmatch(r"shepherd_\w+\{.*\}", name) for name in after)


def test_the_port_is_free_again_afterwards(watch: Watch, port: int) -> None:
    for _ in range(2):
        with serving_metrics(watch, port):
            assert scraped(port)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), 5)


def test_a_port_that_is_taken_is_one_sentence(watch: Watch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with (
            pytest.raises(ShepherdError, match="give another --metrics-port"),
            serving_metrics(watch, taken.getsockname()[1]),
        ):
            pass


def test_without_a_port_nothing_is_served(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prometheus_client.start_http_server", lambda *_, **__: pytest.fail("it is served"))
    with serving_metrics(watch, None):
        pass
