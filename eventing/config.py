"""
Every setting of every role, once: option names, environment variables, defaults.

`clarion up --data-port 9000` and `CLARION_DATA_PORT=9000` are the same. The object is read once, at
the start of a process, and passed down; nothing reads the environment later.
"""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ROLES = ("ingress", "dispatcher", "control", "sources", "serving")

# A unix socket's path may have 107 bytes on Linux; the longest name below is 24.
_SOCKET_DIR_LIMIT_BYTES = 80

_HTTP_PORT = 80  # of a URL without one
_SINK_HOST = "kafka-sink-ingress.knative-eventing"  # Knative's
INNER_SUFFIX = ".svc.cluster.local"  # Kubernetes' own names, NAME.NAMESPACE.svc.cluster.local, mean ours here


class Config(BaseSettings):
    """Settings of one process; field names are the options of `clarion up` with `_` for `-`."""

    model_config = SettingsConfigDict(env_prefix="CLARION_", frozen=True, extra="ignore")

    files: Annotated[tuple[Path, ...], NoDecode] = Field((), description="YAML files or folders to apply.")
    data_dir: Path = Field(Path(".clarion"), description="Where state, sockets and logs live.")
    host: str = Field("127.0.0.1", description="Address that the data and control ports listen on.")
    port: int = Field(8080, ge=0, le=65535, description="Data plane: broker ingress and Services.")
    control_port: int = Field(8001, ge=0, le=65535, description="Kubernetes API, /readyz, /metrics.")
    redis_url: str | None = Field(None, description="Your Redis >= 7.0 or Valkey >= 7.2.")
    ephemeral: bool = Field(False, description="Keep nothing after the end.")
    dispatchers: int = Field(1, ge=1, le=64, description="Dispatcher processes on this machine.")
    gateway_url: str | None = Field(None, description="Data port before Services that run elsewhere.")
    domain: str = Field("localhost", description="Services answer at NAME.NAMESPACE.DOMAIN.")
    body_limit_bytes: int = Field(1024 * 1024, ge=1024, description="Largest event the ingress accepts.")
    drain_s: float = Field(10.0, ge=0, description="How long work in flight may take to finish at the end.")
    log_format: str = Field("auto", pattern="^(auto|console|json)$", description="auto: console on a tty.")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="Least level printed.")

    @field_validator("files", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """In the environment, several files are separated as in PATH."""
        return tuple(filter(None, value.split(os.pathsep))) if isinstance(value, str) else value

    @field_validator("gateway_url")
    @classmethod
    def _check_gateway(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "http://host:80")
        if parts.scheme != "http" or not parts.hostname or not parts.port or parts.path not in {"", "/"}:
            raise ValueError("expected http://HOST:PORT")
        return value

    @property
    def socket_dir(self) -> Path:
        """Directory of the roles' unix sockets: `run/` in the data directory unless its path is too long."""
        path = self.data_dir.absolute() / "run"
        if len(bytes(path)) <= _SOCKET_DIR_LIMIT_BYTES:
            return path
        return Path(tempfile.gettempdir()) / f"clarion-{hashlib.sha256(bytes(path)).hexdigest()[:12]}"

    @property
    def embedded_redis_url(self) -> str:
        """URL of the private Valkey's unix socket."""
        return f"unix://{self.socket_dir / 'valkey.sock'}"

    @property
    def store_url(self) -> str:
        """The Redis to use: the one given, else the embedded one."""
        return self.redis_url or self.embedded_redis_url

    @property
    def data_url(self) -> str:
        """Base URL of the broker ingress, as producers on this machine see it."""
        return f"http://localhost:{self.port}"

    @property
    def activator_socket(self) -> Path:
        """Unix socket on which the serving role's activator takes requests for Services."""
        return self.socket_dir / "activator.sock"

    @property
    def sinks_socket(self) -> Path:
        """Unix socket on which the sources role takes events for systems of others."""
        return self.socket_dir / "sinks.sock"

    @property
    def sink_hosts(self) -> tuple[str, str]:
        """Host names of those sinks: the public one, and that of inner use."""
        public, inner = self.service_suffixes
        return f"{_SINK_HOST}{public}", f"{_SINK_HOST}{inner}"

    @property
    def handover_socket(self) -> Path:
        """Unix socket over which the ingress gives the serving role the connections of Services' clients."""
        return self.socket_dir / "handover.sock"

    @property
    def service_suffixes(self) -> tuple[str, str]:
        """What the host names of our own Services end in: the public ones, and those of inner use."""
        return f".{self.domain}", INNER_SUFFIX

    @property
    def gateway(self) -> tuple[str, int] | None:
        """Host and port of `gateway_url`."""
        if self.gateway_url is None:
            return None
        parts = urlsplit(self.gateway_url)
        return parts.hostname or "", parts.port or _HTTP_PORT

    def dial(self, host: str, port: int) -> tuple[str, int] | str | None:
        """
        Where an inner hop to one of our own Services or sinks goes: its socket; None for anybody else.

        A `Dial` of eventing.http.client: names of ours are never looked up, and the ingress is no hop. With a
        gateway they are all behind it, and so are the Brokers, which call themselves localhost.
        """
        gateway = self.gateway
        if port not in (_HTTP_PORT, self.port) and (gateway is None or port != gateway[1]):
            return None
        if host in self.sink_hosts:
            return gateway or str(self.sinks_socket)
        if host.endswith(self.service_suffixes):
            return gateway or str(self.activator_socket)
        return gateway if gateway is not None and (host, port) == ("localhost", gateway[1]) else None

    def outer_url(self, url: str) -> str:
        """*url* for a program that is none of our roles: an inner name of ours is a host of the data port."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if not host.endswith(INNER_SUFFIX) or (parts.port or _HTTP_PORT) != _HTTP_PORT:
            return url
        return parts._replace(netloc=f"{host.removesuffix(INNER_SUFFIX)}.{self.domain}:{self.port}").geturl()

    def admin_socket(self, role: str, index: int = 0) -> Path:
        """Unix socket on which one role process answers /healthz, /readyz and /metrics."""
        return self.socket_dir / f"{role}-{index}.sock"
