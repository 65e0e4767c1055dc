"""Workers come and go as the autoscaler says, and table `scales` tells the truth about it."""

import asyncio
import json

from prometheus_client import generate_latest

from eventing import projection

BROKEN = "import no_such_module_anywhere\n"


async def test_new_revision_is_proved_by_one_worker(open_house):
    """The initial scale is started once, then the revision is healthy, without a request."""
    async with open_house() as house:
        await house.revision("a")
        record = await house.scale("a", lambda record: record["actual"] == 1)
        assert (record["healthy"], record["active"], record["initialized"]) == (True, "True", True)
        assert record["uid"] == "uid-a"


async def test_revision_that_cannot_be_imported_says_so(open_house):
    """Unhealthy with the traceback's end; a request is refused with the reason, not held."""
    async with open_house() as house:
        await house.revision("a", code=BROKEN)
        record = await house.scale("a", lambda record: record["healthy"] is False)
        assert record["reason"] == "ExitCode1"
        assert "no_such_module_anywhere" in record["message"]
        answer = await house.ask("a")
        assert answer.status == 503
        assert b"no_such_module_anywhere" in answer.body
        assert int(answer.header(b"retry-after")) >= 1


async def test_initial_scale_zero_is_healthy_at_once(house):
    """Allowed to begin at zero, a revision is healthy without a worker."""
    await house.revision("a")
    record = await house.scale("a", lambda record: record["healthy"])
    assert (record["desired"], record["actual"], record["active_reason"]) == (0, 0, "NoTraffic")


async def test_crash_loop_is_slowed_down(house):
    """A worker that dies with every request is started ever later, and requests are told why."""
    await house.revision("a")
    async with asyncio.timeout(15):
        while True:
            answer = await house.ask("a", "?die=1", method="POST", body=b"x")
            if answer.status != 502:
                break
    assert answer.status == 503
    assert answer.body.startswith(b"revision default/a has ended: Signal9: killed by signal 9\n")


# Ends by itself, a moment after it was started, having answered whoever asked meanwhile.
MORTAL = """
import os, threading, time
def say(what):
    with open(PLACE, "a") as file:
        file.write(f"{what} {time.monotonic()}\\n")
def end():
    time.sleep(0.5)
    say("ended")
    os._exit(7)
say("begun")
threading.Thread(target=end).start()
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
"""


async def test_a_worker_that_answers_and_dies_again_and_again(house):
    """It is started later and later, 2 s at most, which is told; the revision stays healthy."""
    place = house.config.data_dir / "life"
    await house.revision("a", code=MORTAL.replace("PLACE", repr(str(place))))

    async def began_often():
        assert (await house.ask("a")).status in {200, 502}
        return place.read_text().count("begun") > 4

    await house.until(began_often)
    record = await house.scale("a", lambda record: record["trouble"])
    assert record["trouble"] == ["BackOff", "Back-off restarting failed worker: ExitCode7: exit status 7"]
    assert record["healthy"]
    times = [float(line.split()[1]) for line in place.read_text().splitlines()]
    pauses = [begun - ended for ended, begun in zip(times[1::2], times[2::2], strict=False)]
    assert all(pause >= least for pause, least in zip(pauses, [0, 0.5, 1, 2], strict=False)), pauses


async def test_requests_outlive_what_kills_a_few_workers(house):
    """After requests that kill their workers, one after the other, the next one waits for a new worker."""
    await house.revision("a")
    statuses = [(await house.ask("a", "?die=1", method="POST", body=b"x")).status for _ in range(3)]
    statuses.append((await house.ask("a")).status)
    assert statuses == [502, 502, 502, 200]


async def test_load_brings_workers(house):
    """Ten requests at a time with a target of one want more workers, long before they are done."""
    await house.revision("a", annotations={"target": "2", "max-scale": "4"})
    async with asyncio.TaskGroup() as tasks:
        busy = [tasks.create_task(house.ask("a", "?sleep=3")) for _ in range(10)]
        await house.scale("a", lambda record: record["actual"] == 4)
    assert {task.result().status for task in busy} == {200}


async def test_revision_recovers_when_its_cause_is_gone(open_house):
    """A start that failed is tried again; once it works the revision is healthy."""
    async with open_house() as house:
        repaired = house.config.data_dir / "repaired"
        code = f"import os\nassert os.path.exists({str(repaired)!r})\n{house.app}"
        await house.revision("a", code=code)
        record = await house.scale("a", lambda record: record["healthy"] is False)
        assert "AssertionError" in record["message"]
        repaired.touch()
        record = await house.scale("a", lambda record: record["healthy"])
        assert record["reason"] == ""


async def test_goes_to_zero_and_back_without_losing_a_request(house):
    """Requests keep coming while a revision falls to zero and wakes again: every one is answered."""
    await house.revision("a", annotations={"window": "6s"})
    first = await house.pid("a")
    await house.scale("a", lambda record: record["actual"] == 1)
    slow = None
    async with asyncio.TaskGroup() as tasks:
        await house.scale("a", lambda record: record["desired"] == 0)
        slow = [tasks.create_task(house.ask("a", "?sleep=0.2")) for _ in range(20)]
    assert {task.result().status for task in slow} == {200}
    assert {json.loads(task.result().body)["pid"] for task in slow} != {first}


async def test_no_request_is_lost_while_workers_come_and_go(house):
    """Ten clients without a pause, while workers jump from 1 to 3 and back: everything is answered."""
    await house.revision("a", annotations={"max-scale": "1"})
    record = (await projection.read(house.store, "revisions"))["default/a"]
    done = asyncio.Event()
    answers = []

    async def ask_on():
        while not done.is_set():
            answer = await house.ask("a", "?sleep=0.01", method="POST", body=b"x")
            answers.append(json.loads(answer.body)["pid"])

    async with asyncio.TaskGroup() as tasks:
        for _ in range(10):
            tasks.create_task(ask_on())
        for count in "313131":
            record["annotations"] = {f"autoscaling.knative.dev/{bound}": count
                                     for bound in ("min-scale", "max-scale")}
            await projection.write(house.store, "revisions", "default/a", record)
            await house.scale("a", lambda record, count=count: record["actual"] == int(count))
        done.set()
    assert len(set(answers)) >= 7


async def test_min_scale_is_kept_and_raised(house):
    """A revision with min-scale has that many workers unasked; a changed record is followed."""
    await house.revision("a", annotations={"min-scale": "2"})
    await house.scale("a", lambda record: record["actual"] == 2 and record["active"] == "True")
    record = (await projection.read(house.store, "revisions"))["default/a"]
    record["reachable"] = False
    await projection.write(house.store, "revisions", "default/a", record)
    await house.scale("a", lambda record: record["desired"] < 2)


async def test_deleted_revision_ends_after_its_requests(house):
    """The request in flight is answered; then there is nothing left, not even in table `scales`."""
    await house.revision("a")
    pid = await house.pid("a")
    async with asyncio.TaskGroup() as tasks:
        slow = tasks.create_task(house.ask("a", "?sleep=0.5"))
        await asyncio.sleep(0.1)
        await projection.write(house.store, "revisions", "default/a", None)
    assert slow.result().status == 200
    await house.until(lambda: house.is_forgotten("a"))
    await house.until(lambda: house.is_gone(pid))
    assert (await house.ask("a")).status == 404


async def test_metrics_tell_workers_and_load(house):
    """One line a revision for its workers, in Knative's names; what is measured, for those that are awake."""
    await house.revision("a")
    await house.revision("b")
    await house.ask("a")
    await house.scale("a", lambda record: record["actual"] == 1)
    text = generate_latest(house.metrics).decode()
    labels = ('{k8s_namespace_name="default",kn_configuration_name="%s",kn_revision_name="%s",'
              'kn_service_name="%s"}')
    for name, workers in (("a", 1.0), ("b", 0.0)):
        assert f"kn_revision_pods_count{labels % (name, name, name)} {workers}" in text
    assert f"kn_revision_concurrency_target{labels % (('a',) * 3)} 70.0" in text
    assert f"kn_revision_concurrency_target{labels % (('b',) * 3)}" not in text
    for name in ("pods_requested", "pods_desired"):
        assert f"kn_revision_{name}{labels % (('a',) * 3)} 1.0" in text
    labelled = {"k8s_namespace_name": "default", "kn_configuration_name": "a", "kn_revision_name": "a",
                "kn_service_name": "a", "http_response_status_code": "200"}
    name = "kn_serving_invocation_duration_seconds"
    assert house.metrics.get_sample_value(f"{name}_count", labelled) == 1
    assert house.metrics.get_sample_value(f"{name}_bucket", {**labelled, "le": "+Inf"}) == 1
    assert house.metrics.get_sample_value(f"{name}_sum", labelled) > 0
    assert 'clarion_activator_answers_total{status="200"} 1.0' in text


async def test_metrics_of_requests_per_second(house):
    """Who is scaled by requests a second has their averages under that name, and no other."""
    await house.revision("a", annotations={"metric": "rps"})
    await house.ask("a")
    labels = {"k8s_namespace_name": "default", "kn_configuration_name": "a", "kn_revision_name": "a",
              "kn_service_name": "a"}
    assert house.metrics.get_sample_value("kn_revision_rps_target", labels) == 140
    assert house.metrics.get_sample_value("kn_revision_concurrency_target", labels) is None
