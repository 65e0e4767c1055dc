"""Durable ingest: events/s that are on disk before they are answered, singly and in batches, against U."""

from benchmarks import floors, instance, load, resources
from benchmarks.measure import Figure, show
from eventing import keys
from eventing.broker.entry import decode

_EVENTS = 50_000
_GOALS = {32: 0.5, 128: 0.9}
_BATCH_EVENTS = 100
_BATCH_CONNECTIONS = 8
_BATCH_GOAL = 2.0
_PAGE = 5_000


def run(runs: int) -> None:
    """Measure with 32 and with 128 connections, and in batched content mode."""
    figures: list[Figure] = []
    with instance.up() as clarion:
        clarion.apply([resources.broker()])
        clarion.wait_all_ready("brokers", 1)
        for connections, goal in _GOALS.items():
            figure = Figure(f"durable ingest, {connections} connections", "/s", goal=goal)
            figures += _measured(clarion, figure, runs, connections, 1)
        figure = Figure(f"durable ingest, batches of {_BATCH_EVENTS}, {_BATCH_CONNECTIONS} connections", "/s",
                        goal=_BATCH_GOAL)
        figures += _measured(clarion, figure, runs, _BATCH_CONNECTIONS, _BATCH_EVENTS)
    show("Durable ingest: 1 KiB events, fsync before 202", figures)


def _measured(
    clarion: instance.Instance, figure: Figure, runs: int, connections: int, batch: int
) -> list[Figure]:
    """Take the samples of *figure*, and of what stands beside it."""
    figure.floor = floor = floors.bare()
    generator = Figure("  of it the generator's CPU (wrk)", "us/event")
    load.closed_loop(clarion.broker_url, "warm-", _EVENTS // 10, connections, batch=batch)
    for number in range(runs):
        floor.samples.append(floors.requests_per_s(_EVENTS))
        empty(clarion)
        done = load.closed_loop(clarion.broker_url, f"{number}-", _EVENTS, connections, batch=batch)
        figure.samples.append(done.per_s)
        generator.samples.append(done.cpu_us)
        figure.note = stored_exactly(clarion, {f"{number}-{n}" for n in range(1, _EVENTS + 1)})
    return [floor, figure, generator]


def empty(clarion: instance.Instance) -> None:
    """Forget the events of the run before, so that every run finds the same memory."""
    with clarion.store() as store:
        store.xtrim(keys.events("default/default", 0), maxlen=0, approximate=False)


def stored_exactly(clarion: instance.Instance, wanted: set[str]) -> str:
    """Say whether the stream has every wanted id once and no other."""
    seen: list[str] = []
    start = "-"
    with clarion.store() as store:
        while page := store.xrange(keys.events("default/default", 0), start, "+", count=_PAGE):
            seen += [decode(fields).attributes["id"] for _, fields in page]
            start = "(" + page[-1][0].decode()
    if len(seen) == len(wanted) and set(seen) == wanted:
        return f"each of {len(wanted):,} once"
    return f"[red]{len(wanted - set(seen))} lost, {len(seen) - len(set(seen))} repeated[/]"
