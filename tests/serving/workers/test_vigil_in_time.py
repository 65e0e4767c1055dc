"""When a worker is asked, and what is made of its answers, in a time that passes at once."""

import asyncio
import contextlib
import selectors

from hypothesis import given
from hypothesis import strategies as st

from serving.workers.backend import Worker
from serving.workers.vigil import Probes, Vigil


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that sleeps in no time: where nothing is to be done before a timer is due, it is due."""

    def __init__(self):
        super().__init__(_Selector(self))
        self.now = 0.0

    def time(self):
        return self.now


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop):
        super().__init__()
        self._loop = loop

    def select(self, timeout=None):
        self._loop.now += timeout or 0.0
        return super().select(0)


class Script:
    """A worker whose answers are written; it keeps what happened to it, and when."""

    def __init__(self, **answers):
        self.answers = {name: iter(given) for name, given in answers.items()}
        self.asked = []
        self.told = []

    async def ask(self, probe):
        """As probing.Asker; the answer that is not there is the end."""
        loop = asyncio.get_running_loop()
        try:
            passed = next(self.answers[probe["is"]])
        except StopIteration:
            await loop.create_future()
        self.asked.append((round(loop.time(), 3), probe["is"]))
        return "" if passed else "no"

    def run(self, limit_s, **probes):
        """Watch it for *limit_s*; the worker at the end."""
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(self._watch(limit_s, {name: probe and {**probe, "is": name}
                                                    for name, probe in probes.items()}))

    async def _watch(self, limit_s, probes):
        loop = asyncio.get_running_loop()
        worker = Worker(id="w", revision="ns/r", uid="u", address=("127.0.0.1", 1), takes_early=False,
                        ready=loop.create_future(), exited=loop.create_future())

        def tell(what):
            self.told.append((round(loop.time(), 3), what))

        def ready():
            if not worker.ready.done():
                worker.ready.set_result(None)

        worker.on_readiness = lambda: tell(worker.unready)
        probes = Probes(**{"startup": None, "readiness": None, "liveness": None, **probes})
        vigil = Vigil(worker, probes, self, lambda _line: None)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await vigil.keep(on_ready=ready, on_failed=tell, on_dead=tell)
        return worker


@given(failures=st.integers(1, 6), period_s=st.integers(1, 20), delay_s=st.integers(0, 30))
def test_budget_of_a_start(failures, period_s, delay_s):
    """It ends with the answer that reaches failureThreshold; nothing else is asked before."""
    script = Script(startup=[False] * 100, readiness=[True], liveness=[True])
    startup = {"httpGet": {}, "failureThreshold": failures, "periodSeconds": period_s,
               "initialDelaySeconds": delay_s}
    script.run(10_000, startup=startup, readiness={"httpGet": {}}, liveness={"httpGet": {}})
    assert script.asked == [(delay_s + count * period_s, "startup") for count in range(failures)]
    assert script.told[-1] == (delay_s + (failures - 1) * period_s, "Startup probe failed: no")


def test_the_others_follow_at_once():
    """A start that is over is noticed by those that wait for it."""
    script = Script(startup=[False, True], readiness=[True] * 3, liveness=[True] * 2)
    script.run(100, startup={"httpGet": {}, "periodSeconds": 2}, liveness={"httpGet": {}, "periodSeconds": 4},
               readiness={"httpGet": {}, "periodSeconds": 5})
    assert script.asked == [(0, "startup"), (2, "startup"), (2, "readiness"), (2, "liveness"),
                            (6, "liveness"), (7, "readiness"), (12, "readiness")]


@given(answers=st.lists(st.booleans(), max_size=40), failures=st.integers(1, 4),
       period_s=st.integers(1, 20), delay_s=st.integers(0, 30))
def test_liveness(answers, failures, period_s, delay_s):
    """It is asked from its delay on, and failed with the answer that is the last of enough in a row."""
    script = Script(readiness=[True], liveness=answers)
    liveness = {"httpGet": {}, "failureThreshold": failures, "periodSeconds": period_s,
                "initialDelaySeconds": delay_s}
    script.run(10_000, readiness={"tcpSocket": {}}, liveness=liveness)
    dead = next((end for end in range(failures, len(answers) + 1) if not any(answers[end - failures:end])), 0)
    asked = [when for when, what in script.asked if what == "liveness"]
    assert asked == [delay_s + count * period_s for count in range(dead or len(answers))]
    assert ((delay_s + (dead - 1) * period_s, "Liveness probe failed: no") in script.told) == bool(dead)


def test_what_nobody_wrote_is_asked_no_more():
    """The default probe, by TCP, ends with its first pass; one by HTTP goes on, every ten seconds."""
    for probe, times in (({"tcpSocket": {}}, [0, 0.05]), ({"httpGet": {}}, [0, 0.05, 10.05])):
        script = Script(readiness=[False, True, True])
        script.run(100, readiness=probe)
        assert [when for when, _ in script.asked] == times


@given(answers=st.lists(st.booleans(), max_size=40), failures=st.integers(1, 4), successes=st.integers(1, 3))
def test_readiness(answers, failures, successes):
    """Whatever the answers: ready once enough pass, unready once enough fail, each told once, in its time."""
    script = Script(readiness=answers)
    worker = script.run(10_000, readiness={"httpGet": {}, "periodSeconds": 7, "failureThreshold": failures,
                                           "successThreshold": successes})
    is_ready, against, expected = False, 0, []
    for (when, _), passed in zip(script.asked, answers, strict=True):
        against = against + 1 if passed != is_ready else 0
        if against == (failures if is_ready else successes):
            is_ready, against = passed, 0
            expected.append((when, is_ready))
    told = [what for _, what in script.told]
    begun = told.index("") if "" in told else len(told)  # before that it may say what its start waits for
    assert [(when, not what) for when, what in script.told[begun:]] == expected
    assert worker.ready.done() == bool(expected)
