"""
Where a real server for the tests comes from, and what happens where there is none.

Each module beside this one starts one server, and looks for it in this order:

    1 an environment variable with its address (CLARION_TEST_KAFKA ...): neither started nor stopped here
    2 a program on PATH
    3 the machine's package tools, into a directory that is kept: $XDG_CACHE_HOME/clarion, else .cache here

Whatever fails there raises Missing with a sentence for a person. The tests that need the server are then
skipped, and the last lines of the run say so; with CLARION_REQUIRE_SERVERS=1, as in CI, they fail.

Each may be started by a person, too: `attend`.
"""

import contextlib
import errno
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

# What this run could not have, and why: said at its end.
missing = {}

_INSTALL_S = 900  # a download over a slow line; a build says how long it may take


class Missing(Exception):
    """This machine cannot have that server; the message says what to do about it."""


@contextlib.contextmanager
def needed(name, serve):
    """The server that the context manager *serve()* starts; skips, or fails, where there is none."""
    if name in missing:
        _go_without(name)
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(serve())
        except Missing as why:
            missing[name] = str(why)
            _go_without(name)
        yield server


def _go_without(name):
    if os.environ.get("CLARION_REQUIRE_SERVERS") == "1":
        pytest.fail(f"{name}: {missing[name]}", pytrace=False)
    pytest.skip(f"{name}: {missing[name]}")


def cache(name):
    """Directory in which *name* is kept between runs."""
    home = os.environ.get("XDG_CACHE_HOME")
    root = Path(home) / "clarion" if home else Path(__file__).parents[2] / ".cache"
    path = root / "servers" / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def program(name):
    """Path of a program; Missing where PATH has none."""
    found = shutil.which(name)
    if found is None:
        raise Missing(f"there is no {name} on PATH")
    return found


def install(*command, cwd, timeout_s=_INSTALL_S):
    """Run an install command; Missing with its last words if it fails."""
    try:
        done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False, timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise Missing(f"{command[0]} did not end within {timeout_s} s") from error
    if done.returncode:
        words = (done.stdout + done.stderr).strip().splitlines()
        raise Missing(f"{command[0]} failed: {words[-1] if words else done.returncode}")


@contextlib.contextmanager
def alone(directory):
    """One process at a time: who comes second waits, and then finds what the first one made."""
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def unpack(package, root, is_complete):
    """
    Unpack a package of Debian's, and those it needs that are not installed, at *root*, all or nothing.

    Needs no root and starts no service. *is_complete(unpacked, root)* looks at what will be moved to *root*,
    and may put it right; raises Missing. What is there already is left alone.
    """
    if root.exists():
        return
    program("dpkg-deb")
    with tempfile.TemporaryDirectory(dir=root.parent) as scratch:
        packages = _not_installed(package)
        if not packages:
            install("apt-get", "update", cwd=scratch)  # a new machine knows no package at all
            packages = _not_installed(package)
        if not packages:
            raise Missing(f"apt-get knows no {package}")
        install("apt-get", "download", *packages, cwd=scratch)
        unpacked = Path(scratch) / "root"
        for each in sorted(Path(scratch).glob("*.deb")):
            install("dpkg-deb", "-x", each.name, "root", cwd=scratch)
        if not is_complete(unpacked, root):
            raise Missing(f"parts of it are installed and parts are not: apt-get install {package}")
        unpacked.rename(root)


def _not_installed(package):
    """That package and those it needs, without what is installed."""
    command = (program("apt-get"), "install", "--simulate", "--no-install-recommends", package)
    plan = subprocess.run(command, capture_output=True, text=True, check=False,
                          env={**os.environ, "LC_ALL": "C"})
    return re.findall(r"^Inst (\S+)", plan.stdout, re.MULTILINE)


def attend(serve, port, said):
    """Start a server for a person, print *said(server)*, and go on until Ctrl-C or SIGTERM."""
    if port and _is_taken(port):
        sys.exit(f"port {port} is in use")
    ends = (signal.SIGINT, signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with contextlib.suppress(KeyboardInterrupt), serve(port) as server:
            # Not before it runs: what it starts would have them blocked, too.
            signal.pthread_sigmask(signal.SIG_BLOCK, ends)
            sys.stdout.write(said(server))
            sys.stdout.flush()
            signal.sigwait(ends)
    except Missing as why:
        sys.exit(str(why))


def _is_taken(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what has ended does not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def free_ports(count):
    """Loopback ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
