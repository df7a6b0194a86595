"""The files in deploy/ and the commands in docs/federation.md: what they name exists, and what they promise is set."""

from __future__ import annotations

import fnmatch
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import shepherd.cli  # noqa: F401, adds the commands
from shepherd.cli import terminal
from shepherd.config import load_config
from shepherd.deploy.settings import FederationSettings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PORT = FederationSettings.model_fields["port"].default
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
COMMAND = typer.main.get_command(terminal.app)


def parsed(words: list[str]) -> dict[str, Any]:
    """Parse the words after `shepherd` as the command line does, without running anything."""
    command: Any = COMMAND
    while hasattr(command, "commands"):
        name, *words = words
        assert name in command.commands, f"there is no command {name}"
        command = command.commands[name]
    params: dict[str, Any] = command.make_context(command.name, list(words)).params
    return params


def in_shell(text: str) -> Iterator[list[str]]:
    """Yield what follows `shepherd` in each simple command of a shell text."""
    for simple in re.split(r"\|\||&&|[|;\n]", text.replace("\\\n", " ")):
        words = shlex.split(simple, comments=True)
        for place, word in enumerate(words):
            if (
                Path(word).name == "shepherd"
                and place + 1 < len(words)
                and words[place + 1] in COMMAND.commands
            ):
                yield words[place + 1 :]


def blocks() -> str:
    """Return the shell commands of docs/federation.md."""
    text = (ROOT / "docs" / "federation.md").read_text()
    return "\n".join(re.findall(r"(?ms)^ *```sh\n(.*?)^ *```", text))


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions with their arguments, in order."""
    kept = [line for line in (DEPLOY / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    lines = "\n".join(kept).replace("\\\n", " ").splitlines()
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines if line.strip()]


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def sites(services: dict[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in services.items() if one["command"].startswith("site ")}


def unit(path: Path) -> RawConfigParser:
    found = RawConfigParser(strict=True)
    found.optionxform = str  # type: ignore[assignment, method-assign]
    found.read_string(path.read_text())
    return found


def resources() -> list[dict[str, Any]]:
    return [one for path in MANIFESTS for one in yaml.safe_load_all(path.read_text())]


# Commands.


def test_every_command_in_comments_scripts_and_docs_parses() -> None:
    files = [*UNITS, *MANIFESTS, DEPLOY / "compose.yaml"]
    comments = ["\n".join(re.findall(r"(?m)^#   (.*)$", path.read_text())) for path in files]
    commands = [words for text in [*comments, blocks()] for words in in_shell(text)]
    assert len(commands) > 12
    for words in commands:
        parsed(words)
    shown = {tuple(words[:2]) if words[0] == "federation" else words[0] for words in commands}
    wanted = {("federation", name) for name in ("init", "add-site", "remove-site", "renew", "list", "status")}
    assert shown >= {*wanted, "coordinator", "site", "doctor"}


def test_no_command_of_the_docs_is_misspelt() -> None:
    for line in blocks().replace("\\\n", " ").splitlines():
        if line.strip().startswith("shepherd "):
            parsed(shlex.split(line, comments=True)[1:])


# The image.


def test_the_image_is_built_from_what_is_there_and_not_ignored() -> None:
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {rule[1:] for rule in rules if rule.startswith("!")}
    assert rules[1] == "*"
    sources = [
        source
        for name, rest in instructions()
        if name == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]
    assert set(sources) == kept
    assert all((ROOT / source).exists() for source in sources)
    assert any(fnmatch.fnmatch("src/shepherd/__pycache__", rule) for rule in rules)


def test_the_image_has_pinned_versions_and_known_extras() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installs = [rest for name, rest in instructions() if name == "RUN" and "pip install" in rest]
    assert len(installs) == 2
    assert all("-c constraints.txt" in line for line in installs)
    (extras,) = re.findall(r"\.\[(.*?)\]", " ".join(installs))
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    (python,) = [rest.removeprefix("PYTHON=") for name, rest in instructions() if rest.startswith("PYTHON=")]
    least = project["requires-python"].removeprefix(">=")
    assert tuple(map(int, python.split("."))) >= tuple(map(int, least.split(".")))
    assert project["scripts"]["shepherd"] == "shepherd.cli:main"


def test_the_image_runs_as_nobody_in_particular_and_stops_cleanly() -> None:
    said = instructions()
    known = {
        "ARG",
        "FROM",
        "ENV",
        "RUN",
        "WORKDIR",
        "COPY",
        "USER",
        "EXPOSE",
        "STOPSIGNAL",
        "ENTRYPOINT",
        "CMD",
    }
    assert {name for name, _ in said} == known
    final = dict(said)  # of each, the last counts
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", final["USER"])
    assert f"--uid {final['USER'].split(':')[0]} " in " ".join(rest for name, rest in said if name == "RUN")
    assert (final["EXPOSE"], final["STOPSIGNAL"]) == (str(PORT), "SIGINT")
    assert final["ENTRYPOINT"] == '["shepherd"]'


# Compose.


def test_compose_runs_commands_that_parse_over_configs_that_are_valid() -> None:
    services = compose()["services"]
    for one in services.values():
        parsed(shlex.split(one["command"]))
    run = parsed(shlex.split(services["coordinator"]["command"]))
    made = parsed(shlex.split(services["keys"]["command"]))
    dealt = parsed(shlex.split(services["data"]["command"]))
    assert run["resume"]
    assert set(made["site"]) == set(sites(services))
    assert made["host"] == "coordinator"
    config = load_config(run["config"], run["overrides"])
    assert config.participation.cohort_size(len(made["site"])) == len(made["site"])
    parts = load_config(dealt["config"], dealt["overrides"])
    folder = f"{parts.run.directory}/clients"
    assert config.data.holdout.path == f"{folder}/global_test.jsonl"
    for number, (name, one) in enumerate(sites(services).items()):
        place = folder.replace("/shared", "../runs/try", 1)
        assert f"../runs/try/federation/bundles/{name}:/bundle:ro" in one["volumes"]
        assert f"{place}/local_training_{number}.jsonl:/data.jsonl:ro" in one["volumes"]


def test_compose_gives_no_more_than_is_needed() -> None:
    services = compose()["services"]
    for one in services.values():
        assert re.fullmatch(r"\$\{\w+:-[1-9]\d*\}:\$\{\w+:-[1-9]\d*\}", one["user"])
        assert (one["read_only"], one["cap_drop"]) == (True, ["ALL"])
        assert "ports" not in one
        assert not one.get("privileged")
    assert services["coordinator"]["expose"] == [str(PORT)]
    assert services["coordinator"]["restart"] == "on-failure"
    assert not any("expose" in one for one in sites(services).values())
    assert compose()["networks"]["federation"]["internal"]


# systemd.


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_is_hardened_and_starts_again(path: Path) -> None:
    service = unit(path)["Service"]
    for key in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "RestrictNamespaces", "LockPersonality"):
        assert service[key] == "yes"
    assert (service["ProtectSystem"], service["CapabilityBoundingSet"]) == ("strict", "")
    assert service["User"] not in ("root", "0", "")
    assert (service["Restart"], service["KillMode"]) == ("on-failure", "mixed")
    program, *words = shlex.split(service["ExecStart"].replace("%i", "north"))
    assert Path(program).name == "shepherd"
    params = parsed(words)
    assert params.get("resume", True)
    # What it writes to is a folder that systemd makes for it.
    states = [f"/var/lib/{name}".replace("%i", "north") for name in service["StateDirectory"].split()]
    assert service["WorkingDirectory"] in states
    written = params["state"] if "state" in params else params["folder"]
    assert any(str(written).startswith(state) for state in states)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    copies = []
    for path in UNITS:
        copies.append(tmp_path / path.name.replace("@", "@north"))
        copies[-1].write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", path.read_text()))
    found = subprocess.run(["systemd-analyze", "verify", *copies], capture_output=True, text=True, timeout=60)
    assert found.stderr == ""
    assert found.returncode == 0


# Kubernetes.


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [one for one in resources() if one["kind"] == kind]


def templates() -> list[dict[str, Any]]:
    return [one["spec"]["template"]["spec"] for one in [*of_kind("Job"), *of_kind("Deployment")]]


def containers() -> list[dict[str, Any]]:
    return [one for pod in templates() for one in [*pod.get("initContainers", []), *pod["containers"]]]


def test_pods_run_as_nobody_in_particular() -> None:
    assert len(containers()) == 3
    for pod in templates():
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["automountServiceAccountToken"] is False
    for one in containers():
        wanted = {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert one["securityContext"] == wanted
        assert {"cpu", "memory"} <= set(one["resources"]["requests"])
        assert "memory" in one["resources"]["limits"]


def test_pods_run_commands_that_parse_and_mount_what_there_is() -> None:
    for one in containers():
        if "command" in one:
            commands = list(in_shell(one["args"][0]))
            assert len(commands) == 1
            parsed(commands[0])
        else:
            assert parsed(one["args"]).get("resume", True)
    for pod in templates():
        volumes = {volume["name"] for volume in pod["volumes"]}
        for one in [*pod.get("initContainers", []), *pod["containers"]]:
            assert {mount["name"] for mount in one["volumeMounts"]} <= volumes


def test_the_coordinator_listens_at_the_default_port_and_a_site_at_none(tmp_path: Path) -> None:
    (service,) = of_kind("Service")
    (job,) = of_kind("Job")
    (site,) = of_kind("Deployment")
    (policy,) = of_kind("NetworkPolicy")
    (run,) = of_kind("ConfigMap")
    assert service["spec"]["selector"].items() <= job["spec"]["template"]["metadata"]["labels"].items()
    assert [port["port"] for port in service["spec"]["ports"]] == [PORT]
    ports = [port["containerPort"] for one in containers() for port in one.get("ports", [])]
    assert ports == [PORT]
    assert policy["spec"]["podSelector"]["matchLabels"] == site["spec"]["selector"]["matchLabels"]
    assert (policy["spec"]["ingress"], policy["spec"]["policyTypes"]) == ([], ["Ingress", "Egress"])
    assert {"port": PORT, "protocol": "TCP"} in [
        port for way in policy["spec"]["egress"] for port in way["ports"]
    ]
    (bundle,) = [one["secret"] for one in site["spec"]["template"]["spec"]["volumes"] if "secret" in one]
    assert bundle["defaultMode"] & 0o007 == 0  # `shepherd site` refuses a key that everybody may read
    (tmp_path / "run.yaml").write_text(run["data"]["run.yaml"])
    assert load_config(str(tmp_path / "run.yaml")).participation.cohort_size(3) == 3
