"""`shepherd coordinator` and `shepherd site`: a run over organisations whose data stays with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shepherd.cli import terminal
from shepherd.cli.options import ConfigArgument, Overrides
from shepherd.cli.running import say_if_it_begins
from shepherd.cli.terminal import say
from shepherd.errors import ShepherdError

if TYPE_CHECKING:
    from shepherd.deploy.site import Site
    from shepherd.deploy.wire import Envelope


@terminal.app.command()
def coordinator(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The coordinator's folder.")],
    config: ConfigArgument,
    overrides: Overrides = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last committed round; begin if there is none.")
    ] = False,
    metrics_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Serve Prometheus metrics at this port of 127.0.0.1.")
    ] = None,
) -> None:
    """Run a config over the sites of a federation; their examples stay with them."""
    from shepherd.config import load_config
    from shepherd.deploy.coordinating import coordinate, finished, status_file
    from shepherd.deploy.folder import FederationFolder
    from shepherd.deploy.logs import run_log
    from shepherd.deploy.metrics_server import serving_metrics
    from shepherd.deploy.page import FederationPage
    from shepherd.deploy.watch import Watch
    from shepherd.report.html import write_report
    from shepherd.report.terminal import print_summary

    found, resolved = FederationFolder(folder), load_config(config, overrides or ())
    run = finished(resolved) if resume else None
    if run is None:
        if resume:
            say_if_it_begins(resolved)
        watch = Watch(resolved.run.name, found.sites(), status_file(found))
        with (
            run_log(resolved.run.directory / "log.jsonl") as events,
            serving_metrics(watch, metrics_port),
            FederationPage(terminal.out, watch) as page,
        ):
            run = coordinate(found, resolved, resume, [watch, page, events], watch.linked)
    write_report(run.directory)
    print_summary(run.record, terminal.out)


@terminal.app.command()
def site(
    folder: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="The folder that the coordinator handed you.")
    ],
    data: Annotated[
        str | None, typer.Option(help="Your file of instructions; site.yaml's unless told.")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="Where this site keeps its own state; BUNDLE/state unless told.")
    ] = None,
) -> None:
    """Take part in a federation with your own instructions, until Ctrl-C; they never leave this machine."""
    from shepherd.deploy.bundle import Bundle
    from shepherd.deploy.site import Site
    from shepherd.deploy.site_process import stopping, work

    bundle = Bundle(folder)
    bundle.check()
    source = data or bundle.settings.data
    if source is None:
        raise ShepherdError(
            f"Say where your instructions are: --data FILE, or data in {folder / 'site.yaml'}."
        )
    own = Site(bundle.settings, source, state or folder / "state")
    _introduce(own)
    with stopping() as stopped:
        work(bundle, own, stopped, say, _answered)
    say("Stopped. Start again with the same command; the coordinator asks again for what is missing.")


def _introduce(own: Site) -> None:
    """Say, before anybody is told of this site, what it has and what will leave it."""
    from shepherd.deploy.readiness import readiness

    for sentence in readiness(own).sentences():
        say(sentence)


def _answered(asked: Envelope, answer: Envelope, seconds: float) -> None:
    from shepherd.units import duration, size

    what = {"hello": "introduced itself", "summarise": "summarised its examples", "train": "trained"}
    done = what.get(asked.kind, "evaluated")
    sent = sum(map(len, answer.buffers().values()))
    place = "" if asked.kind == "hello" else f"Round {asked.round + 1}: "
    if answer.error:
        say(f"{place}refused. {answer.error}")
    else:
        say(f"{place}this site {done} in {duration(seconds)}; {size(sent)} sent.")
