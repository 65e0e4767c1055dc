"""
A warm Service over HTTP: what stands between a client and the app costs, against the app called directly.

Three ways to the same bare app, with the same generator: under uvicorn by itself (U), at its worker's own
port, and at the data port, from where the ingress gives the connection to the activator.
"""

import http.client
import urllib.parse
from pathlib import Path

from benchmarks import floors, instance, load, resources
from benchmarks.measure import Figure, quantile, show

_REQUESTS = 40_000
_GOAL = 0.7
_OPEN_REQUESTS, _OPEN_PER_S = 5_000, 1_000
_LATENCY_GOALS = {0.5: 0.5, 0.99: None}
_NAME = "bare"
_HOST = f"{_NAME}.default.localhost"
_FOLDER = Path(__file__).with_name("functions")


def run(runs: int) -> None:
    """Requests a second, latency at a steady rate, and CPU of each request."""
    floor = Figure(f"U, bare uvicorn, {floors.CONNECTIONS} connections", "/s")
    worker = Figure("its worker, called directly", "/s", floor=floor)
    through = Figure("through the data port and the activator", "/s", floor=floor, goal=_GOAL)
    cost = Figure("  of it CPU of all roles, worker included", "us/request")
    alone = Figure("  the same, worker called directly", "us/request")
    latency = {share: Figure(f"L, bare uvicorn at {_OPEN_PER_S:,}/s, p{share * 100:g}", "ms")
               for share in _LATENCY_GOALS}
    added = {share: Figure(f"added by data port and activator, p{share * 100:g}", "ms", floor=latency[share],
                           goal=goal, at_most=True) for share, goal in _LATENCY_GOALS.items()}
    with instance.up() as clarion:
        port = clarion.state["port"]
        own_port = _serve(clarion)
        for _ in range(runs):
            floor.samples.append(floors.requests_per_s(_REQUESTS))
            _drive(clarion, own_port, worker, alone)
            _drive(clarion, port, through, cost)
            _compare(port, latency, added)
    show("A warm Service: 1 KiB requests to a bare ASGI app, one worker",
         [floor, worker, through, alone, cost, *latency.values(), *added.values()])


def _serve(clarion: instance.Instance) -> int:
    """Make the Service, with one worker for ever; the port of that worker."""
    scale = {"min-scale": "1", "max-scale": "1", "initial-scale": "1"}
    service = resources.function(_NAME, "bare", {}, scale=scale)
    clarion.apply([service], _FOLDER)
    clarion.wait_all_ready("services", 1)
    connection = http.client.HTTPConnection("127.0.0.1", clarion.state["port"])
    connection.request("GET", "/port", headers={"Host": _HOST})
    port = int(connection.getresponse().read())
    connection.close()
    return port


def _drive(clarion: instance.Instance, port: int, rate: Figure, cost: Figure) -> None:
    url = f"http://127.0.0.1:{port}/"
    load.closed_loop(url, "warm-", _REQUESTS // 5, floors.CONNECTIONS, host=_HOST)
    began_s = clarion.cpu_s()
    rate.samples.append(load.closed_loop(url, "x-", _REQUESTS, floors.CONNECTIONS, host=_HOST).per_s)
    cost.samples.append((clarion.cpu_s() - began_s) / _REQUESTS * 1e6)


def _compare(port: int, bare: dict[float, Figure], added: dict[float, Figure]) -> None:
    """One after the other, so that the machine is the same."""
    alone_ms = floors.latency_ms(_OPEN_REQUESTS, _OPEN_PER_S)
    url = urllib.parse.urlunsplit(("http", f"{_HOST}:{port}", "/", "", ""))
    seen = load.open_loop(url, _OPEN_REQUESTS, _OPEN_PER_S)
    if seen.refused:
        raise SystemExit(f"{seen.refused} of {_OPEN_REQUESTS} requests were not answered 202")
    for share, figure in added.items():
        bare[share].samples.append(quantile(alone_ms, share))
        figure.samples.append(quantile(seen.latency_ms, share) - quantile(alone_ms, share))
