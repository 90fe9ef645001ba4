"""What is measured: endpoints as options or a TOML file name them, with what they hold and what that costs. Knows nothing of requests."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipelines.plan import facts
from pipelines.sweep.faults import SweepRefused

REQUIRED = ("url", "model", "tensor_parallel")
KEYS = (*REQUIRED, "name", "cores", "core", "usd_per_hour", "instance", "devices", "key_file")
EXAMPLE = "url=http://127.0.0.1:8000/v1,model=expander,tensor_parallel=8"


@dataclass(frozen=True)
class Endpoint:
    """One server, which has one model and one tensor-parallel size.

    `cores` is how many of what `core` names the server holds all the time, busy or not; `usd_per_hour` is what they cost (None: unknown).
    """

    name: str
    url: str
    model: str
    tensor_parallel: int
    cores: float
    core: str = "core"
    usd_per_hour: float | None = None
    price_source: str = ""
    key_file: Path | None = None


def endpoints(options: Sequence[str], file: Path | None) -> tuple[Endpoint, ...]:
    """Those of `--endpoint` options and of a TOML file's `[[endpoint]]` tables; raises `SweepRefused`."""
    rows = [(parsed(text), f"--endpoint {text}") for text in options]
    if file is not None:
        rows += [(row, f"{file}, endpoint {place}") for place, row in enumerate(_tables(file), 1)]
    found = tuple(made(row, origin) for row, origin in rows)
    check(found)
    return found


def check(found: Sequence[Endpoint]) -> None:
    """Raises `SweepRefused` for two that a report could not tell apart."""
    for what, texts in {
        "are both named": [each.name for each in found],
        "both have model, core and tensor_parallel": [f"{each.model}, {each.core}, {each.tensor_parallel}" for each in found],
    }.items():
        if twice := sorted({text for text in texts if texts.count(text) > 1}):
            raise SweepRefused(f"Two endpoints {what} {twice[0]!r}. Give one another `name`, and another `core` such as core=H100.")


def parsed(text: str) -> dict[str, Any]:
    """`url=...,model=...` as a mapping; raises `SweepRefused`."""
    row: dict[str, Any] = {}
    for part in text.split(","):
        key, given, value = part.partition("=")
        if not given or not value.strip():
            raise SweepRefused(f"--endpoint {text}: {part!r} is not key=value. An example: {EXAMPLE}.")
        row[key.strip().replace("-", "_")] = value.strip()
    return row


def made(row: Mapping[str, Any], origin: str) -> Endpoint:
    """The endpoint of one row; raises `SweepRefused`, which names the row by `origin`."""
    if unknown := sorted(row.keys() - set(KEYS)):
        raise SweepRefused(f"{origin}: {unknown[0]!r} is unknown. Known: {', '.join(KEYS)}.")
    if absent := [key for key in REQUIRED if key not in row]:
        raise SweepRefused(f"{origin}: {absent[0]} is missing. An example: {EXAMPLE}.")
    size = _number(row, "tensor_parallel", origin)
    if size != int(size):
        raise SweepRefused(f"{origin}: tensor_parallel {size:g} must be a whole number.")
    cores = _number(row, "cores", origin) if "cores" in row else size
    price, source = _price(row, cores, origin)
    return Endpoint(
        name=str(row.get("name") or f"{row['model']} TP {size:g}"),
        url=_url(str(row["url"]), origin),
        model=str(row["model"]),
        tensor_parallel=int(size),
        cores=cores,
        core=str(row.get("core") or "core"),
        usd_per_hour=price,
        price_source=source,
        key_file=Path(row["key_file"]) if "key_file" in row else None,
    )


def _tables(file: Path) -> list[dict[str, Any]]:
    try:
        held = tomllib.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise SweepRefused(f"--endpoints {file} can not be read as TOML: {error}.") from None
    rows = held.get("endpoint")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise SweepRefused(f"--endpoints {file} holds no [[endpoint]] table; give each endpoint one with {', '.join(REQUIRED)}.")
    return rows


def _url(text: str, origin: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SweepRefused(f"{origin}: url {text!r} is no http address with /v1, such as http://127.0.0.1:8000/v1.")
    return text.rstrip("/")


def _number(row: Mapping[str, Any], key: str, origin: str) -> float:
    try:
        value = float(row[key])
    except (TypeError, ValueError):
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise SweepRefused(f"{origin}: {key} {row[key]!r} must be a number above 0.")
    return value


def _price(row: Mapping[str, Any], cores: float, origin: str) -> tuple[float | None, str]:
    """US dollars an hour of what the server holds, and where the figure comes from."""
    if "usd_per_hour" in row:
        if "instance" in row:
            raise SweepRefused(f"{origin}: both usd_per_hour and instance are given; keep one of them.")
        return _number(row, "usd_per_hour", origin), "given"
    if "instance" not in row:
        return None, ""
    devices = _number(row, "devices", origin) if "devices" in row else None
    return share(str(row["instance"]), devices, cores, origin)


def share(name: str, devices: float | None, cores: float, origin: str) -> tuple[float, str]:
    """The price of `devices` of an instance, or of `cores` of its vCPUs where it has none; raises `SweepRefused`."""
    known = facts.instances()
    if name not in known:
        raise SweepRefused(f"{origin}: instance {name!r} is unknown. Known: {', '.join(known)}; or give usd_per_hour instead.")
    instance = known[name]
    if not instance.usd_per_hour:
        raise SweepRefused(f"{origin}: no price is known for {name} ({instance.price_source}). Give usd_per_hour of what the server holds.")
    if instance.devices and devices is None:
        raise SweepRefused(f"{origin}: {name} has {instance.devices} devices. Say by `devices` how many of them the server holds.")
    held, of, what = (devices, instance.devices, "devices") if instance.devices else (cores, instance.vcpu, "vCPUs")
    assert held is not None
    if held > of:
        raise SweepRefused(f"{origin}: the server holds {held:g} {what} and {name} has {of}.")
    source = f"{held:g} of {of} {what} of {name} at {instance.usd_per_hour:g} USD/h ({instance.price_date}: {instance.price_source})"
    return instance.usd_per_hour * held / of, source
