"""`shepherd doctor` and `shepherd federation status`: a line for each thing, what to do, and the exit code."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from free_ports import free_port

from refusals import refusal
from shepherd.errors import ShepherdError

pytest.importorskip("cryptography")
pytest.importorskip("flwr")

from shepherd.deploy import bundle_checks, folder_checks, machine_checks
from shepherd.deploy.bundle import Bundle
from shepherd.deploy.bundle_checks import bundle_checks as checks_of_bundle
from shepherd.deploy.certificates import Authority, new_server_key
from shepherd.deploy.coordinating import is_running, state_of, status_file
from shepherd.deploy.finding import Finding, look, ok
from shepherd.deploy.folder import FederationFolder
from shepherd.deploy.settings import FederationSettings, Limits
from shepherd.deploy.watch import Watch
from shepherd.files import held
from shepherd.model.base import BaseModelConfig, load_base


class Health(BaseHTTPRequestHandler):
    """A coordinator's /health, with a clock of its own."""

    ahead_s: float | None = 0.0

    def do_GET(self) -> None:
        self.send_response_only(200 if self.path == "/health" else 404)
        if self.ahead_s is not None:
            self.send_header("Date", formatdate(time.time() + self.ahead_s, usegmt=True))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Server(HTTPServer):
    """Whoever breaks off is not worth a traceback."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing."""


@pytest.fixture
def folder(tmp_path: Path) -> FederationFolder:
    made = FederationFolder(tmp_path / "federation")
    port = free_port()
    made.init(
        FederationSettings(
            federation="0" * 16, name="hospitals", host="127.0.0.1", port=port, bind="127.0.0.1"
        )
    )
    return made


@pytest.fixture
def bundle(folder: FederationFolder) -> Bundle:
    return Bundle(folder.add_site("north", Limits()))


@pytest.fixture
def coordinator(folder: FederationFolder) -> Iterator[type[Health]]:
    """Something that answers as the coordinator does; return what sets its clock."""
    handler = type("Handler", (Health,), {})
    server = Server(("127.0.0.1", folder.settings.port), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder.certificate, folder.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


def levels(findings: list[Finding]) -> list[str]:
    return [finding.level for finding in findings]


def the_problem(findings: Any) -> str:
    (found,) = [finding for finding in findings if finding.level == "problem"]
    return f"{found.what} {found.advice}"


def of_folder(folder: FederationFolder) -> list[Finding]:
    return list(look(folder, folder_checks.FOLDER))


def of_bundle(bundle: Bundle, load: bool = False) -> list[Finding]:
    return list(look(bundle, checks_of_bundle(bundle, load)))


def rewritten(file: Path, **changes: Any) -> None:
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **changes}))


def test_a_group_ends_at_its_first_problem_and_a_problem_is_said_once() -> None:
    def refuses(subject: str) -> Finding:
        raise ShepherdError(f"{subject} is broken.")

    def fails(subject: str) -> Finding:
        raise AssertionError("this was not to be looked at")

    found = look(
        "It", [[lambda _: ok("fine"), refuses, fails], [refuses], [lambda _: Finding("warning", "old")]]
    )
    assert list(found) == [ok("fine"), Finding("problem", "It is broken."), Finding("warning", "old")]


def test_this_machine_will_do(tmp_path: Path) -> None:
    found = list(look(tmp_path, machine_checks.MACHINE))
    assert "problem" not in levels(found)
    said = " ".join(finding.what for finding in found)
    assert all(
        name in said for name in ("Python 3.", "fedshepherd", "flwr 1.41.0", "torch", "peft", "transformers")
    )
    assert all(what in said for what in ("cryptography", "GPU", "of disk free", "of memory"))


def test_another_release_of_flower_or_of_a_library_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"flwr": "1.42.0", "torch": "1.0"}

    def version(package: str) -> str:
        from importlib.metadata import PackageNotFoundError

        if package not in known:
            raise PackageNotFoundError(package)
        return known[package]

    monkeypatch.setattr("importlib.metadata.version", version)
    monkeypatch.setattr("importlib.metadata.requires", lambda name: ["torch>=2.6", 'peft>=1; extra == "x"'])
    with pytest.raises(ShepherdError, match=r"needs Flower 1\.41\.0, and 1\.42\.0 is installed"):
        machine_checks.flower(tmp_path)
    old, absent = (machine_checks.library(tmp_path, name) for name in ("torch", "peft"))
    assert (old.level, old.what) == ("problem", "torch 1.0 does not fit, >=2.6 is needed.")
    assert (absent.level, absent.what) == ("problem", "peft is not installed.")
    assert "fedshepherd[flower]" in old.advice


@pytest.mark.parametrize(("free", "level"), [(10**8, "problem"), (10**9, "warning"), (10**11, "ok")])
def test_room_on_the_disk(free: int, level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda place: SimpleNamespace(free=free))
    assert machine_checks.disk(tmp_path).level == level


def test_free_memory(tmp_path: Path) -> None:
    facts = tmp_path / "meminfo"
    facts.write_text("MemTotal:  100 kB\nMemAvailable:  50 kB\n")
    assert machine_checks._available_memory(facts) == 50 * 1024
    facts.write_text("nothing")
    assert machine_checks._available_memory(facts) is None
    assert machine_checks._available_memory(tmp_path / "other") is None


def test_a_federation_that_is_well_and_what_is_left_to_do(folder: FederationFolder, bundle: Bundle) -> None:
    found = of_folder(folder)
    assert levels(found) == ["ok"] * 6 + ["warning"] * 2
    *_, sites, bundles = found
    assert sites.what == "1 site of at least 3: north."
    assert sites.advice == f"Add some: shepherd federation add-site {folder.path} NAME"
    assert bundles.what == f"Still in {folder.path / 'bundles'}: north."
    bundle.path.rename(folder.path.parent / "handed over")
    for name in ("south", "east"):
        folder.add_site(name, Limits()).rename(folder.path.parent / f"handed over {name}")
    assert levels(of_folder(folder)) == ["ok"] * 8


def test_a_file_that_cannot_be_read_is_a_problem_and_no_traceback(folder: FederationFolder) -> None:
    folder.secret.unlink()
    folder.secret.mkdir(mode=0o700)
    found = next(one for one in look(folder, [[folder_checks.private]]))
    assert (found.level, str(folder.secret) in found.what) == ("problem", True)
    assert "restore it" in found.advice


def test_a_certificate_for_other_names(folder: FederationFolder) -> None:
    rewritten(folder.path / "federation.yaml", names=["fl.example.org"])
    said = the_problem(of_folder(folder))
    assert said == f"The certificate is not for fl.example.org. shepherd federation renew {folder.path}"
    folder.renew_certificate()
    assert "problem" not in levels(of_folder(folder))


@pytest.mark.parametrize(("days", "level"), [(-1, "problem"), (3, "warning"), (40, "ok")])
def test_how_long_the_certificate_is_good_for(
    folder: FederationFolder, days: int, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import timedelta

    monkeypatch.setattr("shepherd.deploy.certificates.SERVER_LIFE", timedelta(days=days, hours=1))
    monkeypatch.setattr("shepherd.deploy.certificates._CLOCKS_DIFFER", timedelta(days=9))
    folder.renew_certificate()
    found = folder_checks.certificate(folder)
    assert found.level == level
    assert level == "ok" or "federation renew" in found.advice


def test_a_certificate_of_another_authority_and_a_key_of_another_certificate(
    folder: FederationFolder,
) -> None:
    whole = folder.key.read_bytes()
    folder.key.write_bytes(new_server_key())
    assert f"{folder.key} is not the key of {folder.certificate}" in the_problem(of_folder(folder))
    folder.key.write_bytes(whole)
    other = Authority.new("another")
    folder.certificate.write_bytes(other.issue(folder.settings.certificate_names, whole))
    assert "server.pem is not signed by ca.pem" in the_problem(of_folder(folder))


def test_a_signing_key_that_is_kept_elsewhere_is_no_problem(folder: FederationFolder) -> None:
    folder.authority_key.unlink()
    found = folder_checks.authority(folder)
    assert (found.level, "its key is kept elsewhere" in found.what) == ("ok", True)
    assert "ca.key" not in folder_checks.private(folder).what


@pytest.mark.parametrize("name", ["ca.key", "server.key", "secret"])
def test_keys_that_everybody_may_read(folder: FederationFolder, name: str) -> None:
    (folder.path / name).chmod(0o644)
    assert f"chmod 600 '{folder.path / name}'" in the_problem(of_folder(folder))


def test_a_secret_that_is_missing(folder: FederationFolder) -> None:
    folder.secret.unlink()
    assert "secret is missing or empty" in the_problem(of_folder(folder))


def test_a_port_that_is_taken(folder: FederationFolder, coordinator: Any) -> None:
    assert re.search(r"Port \d+ of 127\.0\.0\.1 is taken\. Stop what uses it", the_problem(of_folder(folder)))
    with held(folder.path / ".coordinator.lock", ""):
        assert is_running(folder)
        assert folder_checks.port(folder).what.endswith("is used by this federation's coordinator.")
    assert not is_running(folder)


def test_an_address_that_this_machine_has_not(folder: FederationFolder) -> None:
    rewritten(folder.path / "federation.yaml", bind="203.0.113.9")
    assert folder_checks.port(folder).what == "This machine has no address 203.0.113.9."


def test_settings_that_cannot_be_read_are_said_once(folder: FederationFolder) -> None:
    rewritten(folder.path / "federation.yaml", port="many")
    assert "federation.yaml: port" in the_problem(of_folder(folder))


def test_a_bundle_whose_coordinator_is_there(bundle: Bundle, coordinator: Any) -> None:
    found = of_bundle(bundle)
    assert "problem" not in levels(found)
    said = " ".join(finding.what for finding in found)
    assert f"is site 'north' of 'hospitals' ({bundle.fingerprint})." in said
    assert "the coordinator's certificate is signed by ca.pem, for 127.0.0.1." in said
    assert "This machine's clock and the coordinator's agree." in said
    assert "site.yaml names no data." in said
    assert "No base model is allowed yet" in said


def test_a_bundle_that_is_not_whole_asks_nobody(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.create_connection", lambda *_: pytest.fail("somebody was asked"))
    bundle.key.chmod(0o644)
    assert "chmod 600" in the_problem(of_bundle(bundle))


def test_a_coordinator_that_is_not_there(bundle: Bundle) -> None:
    said = the_problem(of_bundle(bundle))
    assert re.fullmatch(r"Nothing listens at 127\.0\.0\.1:\d+\. Ask whether .*; sites wait for it\.", said)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (socket.gaierror(-2, "unknown"), r"No machine is known by the name"),
        (TimeoutError("timed out"), r"cannot be reached \(timed out\)\. .*firewall"),
        (OSError(113, "No route to host"), r"cannot be reached \(No route to host\)"),
    ],
)
def test_why_it_cannot_be_reached(
    bundle: Bundle, error: OSError, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr("socket.create_connection", fail)
    found = bundle_checks.reachable(bundle)
    assert re.search(said, f"{found.what} {found.advice}")


def test_somebody_else_at_that_address(bundle: Bundle, coordinator: Any, tmp_path: Path) -> None:
    another = FederationFolder(tmp_path / "another")
    another.init(FederationSettings(federation="1" * 16, name="x", host="127.0.0.1"))
    own = bundle.authority.read_bytes()
    bundle.authority.write_bytes(another.authority.read_bytes())
    assert "is not of the federation that site.yaml names" in the_problem(of_bundle(bundle))
    assert "ca.pem did not sign its certificate" in bundle_checks.trusted(bundle).what
    bundle.authority.write_bytes(own)


def test_a_certificate_for_another_address(folder: FederationFolder, bundle: Bundle, request: Any) -> None:
    issued = Authority.read(folder.authority, folder.authority_key).issue(
        ["other.example"], folder.key.read_bytes()
    )
    folder.certificate.write_bytes(issued)
    request.getfixturevalue("coordinator")
    assert "for other addresses than this one" in the_problem(of_bundle(bundle))


def test_what_does_not_speak_tls(bundle: Bundle, folder: FederationFolder) -> None:
    server = Server(("127.0.0.1", folder.settings.port), Health)
    thread = threading.Thread(target=partial(server.serve_forever, 0.01))
    thread.start()
    try:
        assert "does not speak TLS" in the_problem(of_bundle(bundle))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("ahead", "level", "said"),
    [
        (0, "ok", "agree"),
        (-30, "ok", "agree"),
        (31, "warning", "31 s behind"),
        (-200, "warning", "3 min 20 s before"),
        (241, "problem", "4 min 1 s behind"),
        (-90000, "problem", "25 h 0 min before"),
    ],
)
def test_clocks(ahead: float, level: str, said: str) -> None:
    found = bundle_checks.clocks(ahead)
    assert found.level == level
    assert said in found.what
    assert level == "ok" or "NTP" in found.advice


def test_the_coordinators_clock_is_asked(bundle: Bundle, coordinator: Any) -> None:
    coordinator.ahead_s = 1000
    assert "behind the coordinator's" in the_problem(of_bundle(bundle))
    coordinator.ahead_s = None
    assert bundle_checks.clock(bundle).what == "The coordinator does not say what time it is there."


def test_a_proxy_in_the_environment(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://10.0.0.1:3128")
    assert "NO_PROXY=127.0.0.1" in bundle_checks.proxy(bundle).advice
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert bundle_checks.proxy(bundle).level == "ok"


def test_the_sites_data(folder: FederationFolder, tmp_path: Path) -> None:
    path = folder.add_site("south", Limits())
    (tmp_path / "data.jsonl").write_text(json.dumps({"instruction": "a", "response": "b"}) + "\n")
    rewritten(path / "site.yaml", data=str(tmp_path / "data.jsonl"))
    assert bundle_checks.data(Bundle(path)).what == f"1 examples in {tmp_path / 'data.jsonl'}."
    rewritten(path / "site.yaml", data=str(tmp_path / "missing.jsonl"))
    with pytest.raises(ShepherdError, match=r"missing\.jsonl"):
        bundle_checks.data(Bundle(path))


def test_base_models(folder: FederationFolder, tiny_base: Path) -> None:
    base = str(tiny_base)
    fingerprint = load_base(BaseModelConfig(base=base)).fingerprint
    for number, (allowed, levels_found) in enumerate(
        [(fingerprint, ["ok", "ok"]), ("any", ["ok", "ok"]), ("0" * 64, ["ok", "problem"])]
    ):
        bundle = Bundle(folder.add_site(f"s{number}", Limits(base_models={base: allowed})))
        *_, there, same = of_bundle(bundle, load=True)
        assert levels([there, same]) == levels_found
        assert fingerprint[:12] in same.what
    missing = Bundle(folder.add_site("m", Limits(base_models={"/nowhere/base": "any"})))
    with pytest.raises(ShepherdError, match="no directory /nowhere/base"):
        bundle_checks.base_there(missing, "/nowhere/base")


def test_the_command(shepherd: Any, folder: FederationFolder, bundle: Bundle, tmp_path: Path) -> None:
    code, said, _ = shepherd("doctor", folder.path)
    assert code == 0
    lines = said.splitlines()
    assert all(line.split()[0] in ("ok", "warning") for line in lines)
    assert any(line.startswith("warning  1 site of at least 3: north. Add some: ") for line in lines)
    code, said, _ = shepherd("doctor", bundle.path)
    assert code == 2
    assert sum(line.startswith("problem  Nothing listens at 127.0.0.1") for line in said.splitlines()) == 1
    code, said, _ = shepherd("doctor")
    assert code == 0
    assert "federation" not in said
    assert "is neither a coordinator's folder" in refusal(shepherd("doctor", tmp_path))
    assert "Traceback" not in said


def test_the_status_of_a_federation(shepherd: Any, folder: FederationFolder, bundle: Bundle) -> None:
    code, said, _ = shepherd("federation", "status", folder.path)
    assert code == 0
    assert (
        f"The coordinator of 'hospitals' does not run; start it: shepherd coordinator {folder.path}" in said
    )
    state_of(folder).mkdir()
    watch = Watch("lambs", folder.sites(), status_file(folder))
    watch.now.round, watch.now.rounds, watch.now.loss, watch.now.round_seconds = 3, 10, 1.2345, 83.0
    watch.lost(4, "north", "its connection was lost")
    with held(folder.path / ".coordinator.lock", ""):
        code, said, _ = shepherd("federation", "status", folder.path)
        assert code == 0
        assert (
            "Run 'lambs': 3 of 10 rounds are committed. Held-out loss: 1.234. The last round took 1 min 23 s."
            in said
        )
        assert re.search(r"As of \d\.\d s ago\.", said)
        assert re.search(r"north +away +lost: its connection was lost", said)
        status_file(folder).unlink()
        assert "has nothing to say yet" in shepherd("federation", "status", folder.path)[1]
    watch.write()
    assert "does not run; this is how its run stood" in shepherd("federation", "status", folder.path)[1]
    status_file(folder).write_text('{"run": 1}')
    assert "was not written by this release" in refusal(shepherd("federation", "status", folder.path))
    assert "is no federation" in refusal(shepherd("federation", "status", folder.path / "sites"))


def test_what_a_running_coordinator_makes_of_a_changed_list_is_said(
    shepherd: Any, folder: FederationFolder
) -> None:
    assert "from the next run on" in shepherd("federation", "add-site", folder.path, "east")[1]
    assert (
        "puts the site out within ten seconds"
        in shepherd("federation", "remove-site", folder.path, "east")[1]
    )
