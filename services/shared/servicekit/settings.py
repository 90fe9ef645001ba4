"""Reads the environment, the only place that does. Knows which settings all services share, not what the others mean."""

import os
import sys
from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """The settings every service has. A subclass sets its own `env_prefix`, such as `ENCODER_`."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(ge=0, le=65535, description="TCP port to listen on.")
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Lowest level that is logged.")
    state_dir: Path = Field(default=Path("state"), description="Folder for what must survive a restart; created when missing.")
    max_in_flight: int = Field(default=128, ge=1, description="Requests worked on at once; one more is answered 429 with Retry-After.")
    max_json_bytes: int = Field(default=2**20, ge=1024, description="Largest JSON body, in bytes; a larger one is answered 413.")
    max_body_bytes: int = Field(default=64 * 2**20, ge=1024, description="Largest body of lines (NDJSON), in bytes; then 413.")
    drain_delay_s: float = Field(default=0.0, ge=0, description="Seconds between SIGTERM (readiness turns 503) and closing the listener.")
    drain_timeout_s: float = Field(default=20.0, ge=0, description="Seconds that requests in flight get to finish after that.")


NO_TELEMETRY = {"ORT_DISABLE_TELEMETRY": "1"}
"""What libraries read that would report to their maker. ONNX Runtime 1.31 reads it when it is imported; its own call comes too late."""

SettingsType = TypeVar("SettingsType", bound=ServiceSettings)


def load(settings: type[SettingsType]) -> SettingsType:
    """Reads `settings` from the environment; exits with status 2 and one line per bad variable. Nothing reports to anybody after it."""
    os.environ.update(NO_TELEMETRY)
    try:
        return settings()
    except ValidationError as error:
        prefix = settings.model_config.get("env_prefix", "")
        for fault in error.errors():
            name = prefix + "_".join(map(str, fault["loc"])).upper()
            print(f"{name}: {fault['msg']} (got {fault.get('input')!r})", file=sys.stderr)
        raise SystemExit(2) from None


def environment_with(**changes: str) -> dict[str, str]:
    """This process's environment with `changes`, to start a child process in."""
    return {**os.environ, **changes}
