"""What a machine must have, to be a coordinator or a site: versions, a GPU if it is to be used, room."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from functools import partial
from pathlib import Path

from packaging.requirements import Requirement

from shepherd.deploy.finding import Check, Finding, ok
from shepherd.deploy.flower_shell import check_release
from shepherd.units import size

_PACKAGE = "fedshepherd"
_LIBRARIES = ("torch", "transformers", "peft", "cryptography")
_INSTALL = f"pip install '{_PACKAGE}[flower]'"
_LEAST_DISK, _LITTLE_DISK = 200 * 10**6, 5 * 10**9
_LITTLE_MEMORY = 2 * 10**9


def shepherd_release(place: Path) -> Finding:
    """Look for Shepherd itself, and Python."""
    python = platform.python_version()
    version = _version(_PACKAGE)
    if version is None:
        return Finding("warning", f"Python {python}; {_PACKAGE} is not installed.", _INSTALL)
    return ok(f"Python {python}, {_PACKAGE} {version}.")


def flower(place: Path) -> Finding:
    """Look for Flower, whose release must be the one this was built on."""
    check_release()
    return ok(f"flwr {_version('flwr')}.")


def library(place: Path, name: str) -> Finding:
    """Look for a library, in a release that Shepherd can work with."""
    version, needed = _version(name), _needed(name)
    if version is None:
        return Finding("problem", f"{name} is not installed.", _INSTALL)
    if needed is not None and not needed.specifier.contains(version, prereleases=True):
        return Finding("problem", f"{name} {version} does not fit, {needed.specifier} is needed.", _INSTALL)
    return ok(f"{name} {version}.")


def gpu(place: Path) -> Finding:
    """Look for a GPU that torch can use."""
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        name = torch.cuda.get_device_name()
        return ok(f"{torch.cuda.device_count()} GPU ({name}), {size(free)} of {size(total)} free.")
    if torch.backends.mps.is_available():
        return ok("An Apple GPU.")
    if Path("/dev/nvidiactl").exists():
        return Finding(
            "warning",
            "There is an NVIDIA GPU that torch cannot use.",
            "Compare the driver (nvidia-smi) with torch's CUDA (python -m torch.utils.collect_env).",
        )
    return ok("No GPU; the CPU trains.")


def disk(place: Path) -> Finding:
    """Look for room where the folder is."""
    free = shutil.disk_usage(place).free
    said = f"{size(free)} of disk free where {place} is."
    if free < _LEAST_DISK:
        return Finding("problem", said, f"Free some: {size(_LEAST_DISK)} are the least.")
    if free < _LITTLE_DISK:
        return Finding("warning", said, "Checkpoints and adapters on their way may fill it.")
    return ok(said)


def memory(place: Path) -> Finding:
    """Look for free memory."""
    available = _available_memory()
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if available is None:
        return ok(f"{size(total)} of memory.")
    said = f"{size(available)} of {size(total)} of memory free."
    if available < _LITTLE_MEMORY:
        return Finding("warning", said, "End other programs, or choose a small base model.")
    return ok(said)


MACHINE: tuple[tuple[Check[Path], ...], ...] = (
    (shepherd_release,),
    (flower,),
    *((partial(library, name=name),) for name in _LIBRARIES),
    (gpu,),
    (disk,),
    (memory,),
)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _needed(name: str) -> Requirement | None:
    """Return what the installed Shepherd says it needs of a library."""
    try:
        lines = importlib.metadata.requires(_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((found for found in map(Requirement, lines) if found.name == name), None)


def _available_memory(facts: Path = Path("/proc/meminfo")) -> int | None:
    """Return the memory that a new process may have, in bytes, where the system tells (Linux)."""
    try:
        lines = dict(line.split(":", 1) for line in facts.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
