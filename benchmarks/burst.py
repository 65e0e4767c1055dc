"""A hundred functions at zero, each asked once at the same moment: when the last one has answered."""

import asyncio
import time
from pathlib import Path

from benchmarks import cold, instance, resources
from benchmarks.measure import Figure, quantile, show
from eventing.http.client import Client

_FUNCTIONS = 100
_GOAL_S = 1.0
_TIMEOUT_S = 60.0
_FOLDER = Path(__file__).with_name("functions")


def run(runs: int) -> None:
    """Wake them all, in each of several instances."""
    figures = {share: Figure(f"request -> answer, p{share * 100:g}", "s") for share in (0.5, 0.95)}
    last = Figure(f"the last of {_FUNCTIONS} answers", "s", goal=_GOAL_S, at_most=True)
    for _ in range(runs):
        taken, statuses = _once()
        for share, figure in figures.items():
            figure.samples.append(quantile(taken, share))
        last.samples.append(max(taken))
        last.note = f"each of {_FUNCTIONS} once" if statuses == {202} else f"[red]{statuses}[/]"
    show(f"{_FUNCTIONS} functions woken at once", [*figures.values(), last])


def _once() -> tuple[list[float], set[int]]:
    with instance.up() as clarion:
        names = [f"burst-{n}" for n in range(_FUNCTIONS)]
        clarion.apply([resources.zero_at_first()])
        clarion.apply([resources.function(name, "bare", {}) for name in names], _FOLDER)
        clarion.wait_all_ready("services", _FUNCTIONS)
        cold.assert_no_workers(clarion)
        time.sleep(1)
        return asyncio.run(_ask_all(clarion.state["port"], names))


async def _ask_all(port: int, names: list[str]) -> tuple[list[float], set[int]]:
    """Seconds that each took, and the statuses that came."""
    client = Client()
    taken: list[float] = []

    async def ask(name: str, began: float) -> int:
        answer = await client.request("POST", f"http://{name}.default.localhost:{port}/", [], b"x",
                                      timeout_s=_TIMEOUT_S, max_answer_bytes=10_000)
        taken.append(time.monotonic() - began)
        return answer.status

    async with asyncio.TaskGroup() as tasks:
        began = time.monotonic()
        asked = [tasks.create_task(ask(name, began)) for name in names]
    await client.close()
    return taken, {task.result() for task in asked}
