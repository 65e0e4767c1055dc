"""
The floors: what this machine does with a bare program, measured in the same run as what is compared to it.

    U   requests/s of a bare ASGI app (reads the body, answers 202): uvicorn, httptools, uvloop, one process,
        32 connections, whatever it is compared to
    L   latency of that app at 1,000 requests/s, open loop: p50 and p99, milliseconds
    F   milliseconds from connect to answer when a warm parent, that has imported uvicorn and cloudevents,
        forks a child for a request that waits in the listening socket already: p50 and p95,
        of samples taken between those of the cold start, after the same pause
"""

import contextlib
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import load
from benchmarks.measure import Figure

CONNECTIONS = 32  # of U

ForkMs = Callable[[], float]  # takes one sample of F
_START_S = 20.0


async def app(scope: dict, receive: object, send: object) -> None:
    """Read the body and answer 202: the least an ASGI app can do."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):  # type: ignore[operator]
        pass
    await send({"type": "http.response.start", "status": 202, "headers": []})  # type: ignore[operator]
    await send({"type": "http.response.body", "body": b""})  # type: ignore[operator]


@contextlib.contextmanager
def uvicorn() -> Iterator[int]:
    """Yield the port of the bare app under uvicorn."""
    port = free_port()
    with running(_command(port), port):
        yield port


def _command(port: int) -> list[str]:
    return [sys.executable, "-m", "uvicorn", "benchmarks.floors:app", "--port", str(port),
            "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]


@contextlib.contextmanager
def running(command: list[str], port: int) -> Iterator[subprocess.Popen]:
    """Run *command* until the block ends; it listens on *port* when the block begins."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _START_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{' '.join(command)} did not start")
            time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def requests_per_s(events: int) -> float:
    """U, once."""
    with uvicorn() as port:
        url = f"http://127.0.0.1:{port}/default/default"
        load.closed_loop(url, "warm-", events // 5, CONNECTIONS)
        return load.closed_loop(url, "u-", events, CONNECTIONS).per_s


def bare() -> Figure:
    """U as a row of a table, without samples."""
    return Figure(f"U, bare uvicorn, {CONNECTIONS} connections", "/s")


def cpu_us(events: int, connections: int) -> float:
    """CPU that the bare app burns for a request of a closed loop: user and system, microseconds."""
    port = free_port()
    with running(_command(port), port) as process:
        url = f"http://127.0.0.1:{port}/default/default"
        load.closed_loop(url, "warm-", events // 5, connections)
        before_s = cpu_s(process.pid)
        load.closed_loop(url, "u-", events, connections)
        return (cpu_s(process.pid) - before_s) / events * 1e6


def cpu_s(pid: int) -> float:
    """CPU that process *pid* has used, user and system, to 10 ms."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def latency_ms(events: int, per_s: int) -> list[float]:
    """All latencies of L, once."""
    with uvicorn() as port:
        return load.open_loop(f"http://127.0.0.1:{port}/default/default", events, per_s).latency_ms


@contextlib.contextmanager
def forks() -> Iterator[ForkMs]:
    """
    Yield what takes one sample of F.

    A floor is taken where the figure is: a machine that has paused answers more slowly than one in a tight
    loop, whose caches are full of nothing else.
    """
    listening = socket.create_server(("127.0.0.1", 0), backlog=64)
    port = listening.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.floors", str(listening.fileno())]
    process = subprocess.Popen(command, pass_fds=[listening.fileno()], stdout=subprocess.PIPE)
    assert process.stdout is not None
    output = process.stdout

    def fork_ms() -> float:
        began = time.perf_counter()
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"POST / HTTP/1.1\r\nhost: f\r\ncontent-length: 0\r\n\r\n")
            client.recv(1000)
            taken = (time.perf_counter() - began) * 1000
        output.readline()  # the child has been reaped
        return taken

    try:
        output.readline()  # it has imported everything
        yield fork_ms
    finally:
        process.kill()
        process.wait()
        listening.close()


def _fork_for_ever(listening: socket.socket) -> None:
    import cloudevents.core.v1.event  # noqa: F401, PLC0415  what a zygote has warm
    import uvicorn as _server  # noqa: F401, PLC0415
    print("warm", flush=True)
    while True:
        select.select([listening], [], [])
        child = os.fork()
        if child == 0:
            connection, _ = listening.accept()
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
            connection.close()
            os._exit(0)
        os.waitpid(child, 0)
        print("reaped", flush=True)


if __name__ == "__main__":
    _fork_for_ever(socket.socket(fileno=int(sys.argv[1])))
