"""The machine that times were taken on."""

import os
import platform
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
BF16 = {"avx512_bf16", "amx_bf16", "bf16"}  # as Linux names what processors can do


def processor(cpuinfo: Path = CPUINFO) -> str:
    """Its name, as well as it is known."""
    return _said(cpuinfo, "model name") or platform.processor() or platform.machine()


@cache
def has_bf16(cpuinfo: Path = CPUINFO) -> bool:
    """Whether the processor has instructions for bfloat16; True where nobody says."""
    said = _said(cpuinfo, "flags") or _said(cpuinfo, "Features")
    return not said or bool(BF16 & set(said.split()))


def load() -> list[float] | None:
    """Processes that were at work or waiting, on average over 1, 5 and 15 minutes."""
    try:
        return [round(value, 2) for value in os.getloadavg()]
    except (AttributeError, OSError):  # not on Windows
        return None


def described() -> dict[str, object]:
    """The machine as plain values."""
    return {"cpu": processor(), "cpus": os.cpu_count(), "system": platform.platform(terse=True)}


def _said(cpuinfo: Path, key: str) -> str:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    parts = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in parts if name.strip() == key), "")
