"""Prometheus metrics of a running federation, for this machine only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from shepherd.deploy.watch import Watch
from shepherd.errors import ShepherdError

_PER_SITE = (
    ("shepherd_site_online", "Whether the site is connected.", "gauge", lambda site: float(site.online)),
    ("shepherd_site_rounds_total", "Rounds its updates were part of.", "counter", lambda site: site.rounds),
    ("shepherd_site_lost_total", "Rounds it was asked for and lost.", "counter", lambda site: site.losses),
    ("shepherd_site_round_seconds", "What its last round took it.", "gauge", lambda site: site.seconds),
    ("shepherd_site_sent_bytes_total", "Bytes it sent.", "counter", lambda site: site.bytes_up),
    ("shepherd_site_received_bytes_total", "Bytes it was sent.", "counter", lambda site: site.bytes_down),
)


class _Collector:
    """Reads the watch whenever it is asked."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def collect(self) -> Iterator[Any]:
        """Yield every metric as of now."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        now, run = self.watch.now, self.watch.now.run
        overall = (
            ("shepherd_round", "Rounds committed.", float(now.round)),
            ("shepherd_rounds", "Rounds there are to be.", float(now.rounds)),
            ("shepherd_round_seconds", "What the last round took.", now.round_seconds),
            ("shepherd_loss", "The last held-out loss, in nats per response token.", now.loss),
        )
        for name, what, value in overall:
            if value is not None:
                family = GaugeMetricFamily(name, what, labels=["run"])
                family.add_metric([run], value)
                yield family
        for name, what, kind, figure in _PER_SITE:
            made = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
            of_sites = made(name.removesuffix("_total"), what, labels=["run", "site"])
            for site, found in dict(now.sites).items():
                of_sites.add_metric([run, site], figure(found))
            yield of_sites


@contextmanager
def serving_metrics(watch: Watch, port: int | None) -> Iterator[None]:
    """Serve the metrics at 127.0.0.1 until the run ends; nothing without a port.

    Raises
    ------
    ShepherdError
        If the port is taken.
    """
    if port is None:
        yield
        return
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry()
    registry.register(_Collector(watch))
    try:
        server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)
    except OSError as error:
        raise ShepherdError(
            f"Port {port} of this machine is taken ({error.strerror}); give another --metrics-port."
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
