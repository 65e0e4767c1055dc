"""Isolation: what 20 fast subscribers notice of a slow, a failing and a hanging one beside them."""

import contextlib
import sys
from collections.abc import Iterator

from benchmarks import floors, ingest, instance, load, resources, sink, trouble
from benchmarks.deliver import counting_sink
from benchmarks.measure import Figure, quantile, show

_FAST = 20
_EVENTS = 2_000
_PER_S = 50  # 1,000 deliveries a second to the fast ones
_GOAL = 1.2
_PATIENCE_S = 60.0


def run(runs: int) -> None:
    """Measure p99 from POST to the fast subscribers, alone and in company."""
    alone = Figure(f"{_FAST} fast subscribers alone, {_PER_S}/s, p99", "ms")
    company = Figure("  with a slow, a failing and a hanging one, p99", "ms",
                     floor=alone, goal=_GOAL, at_most=True)
    with counting_sink() as port, _troubled() as troubled, instance.up() as clarion:
        clarion.apply([resources.broker(), *(
            resources.trigger(f"fast-{number}", wants=resources.TYPE, uri=f"http://127.0.0.1:{port}/")
            for number in range(_FAST))])
        clarion.wait_all_ready("triggers", _FAST)
        for _ in range(runs):
            _sample(alone, clarion, port)
        clarion.apply([_trouble(kind, troubled) for kind in trouble.KINDS])
        clarion.wait_all_ready("triggers", _FAST + len(trouble.KINDS))
        for _ in range(runs):
            _sample(company, clarion, port)
    show("Isolation: event written -> at the fast subscribers", [alone, company])


def _sample(figure: Figure, clarion: instance.Instance, port: int) -> None:
    ingest.empty(clarion)
    sink.forget(port)
    load.open_loop(clarion.broker_url, _EVENTS, _PER_S)
    seen = sink.wait_for(port, _EVENTS, _PATIENCE_S, times=_FAST)
    figure.samples.append(quantile(seen["latency_ms"], 0.99))
    figure.note = sink.exactly(seen, {f"open-{n}" for n in range(1, _EVENTS + 1)}, times=_FAST)


@contextlib.contextmanager
def _troubled() -> Iterator[int]:
    """Yield the port of the troublesome ones."""
    port = floors.free_port()
    with floors.running([sys.executable, "-m", "benchmarks.trouble", str(port)], port):
        yield port


def _trouble(kind: str, port: int) -> dict:
    """A Trigger to one of them: it retries, so that more than one attempt an event is in the way."""
    made = resources.trigger(kind, wants=resources.TYPE, uri=f"http://127.0.0.1:{port}/{kind}")
    made["spec"]["delivery"] = {"retry": 3, "backoffPolicy": "linear", "backoffDelay": "PT0.2S"}
    return made
