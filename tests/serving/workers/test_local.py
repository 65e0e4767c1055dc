"""The local backend with real processes: what starts, what ends, what is left, and what a worker can see."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from eventing import keys
from serving.workers import local
from serving.workers.backend import StartFailed
from serving.workers.process import REPORT

NAME = "default/hello-00001"
PRINTS = "def handle(event): print({expression})\n"


def is_alive(pid):
    """Does the process exist, and is more than a zombie?"""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def descriptors():
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_request_may_come_before_the_worker(stage):
    """A worker's socket listens from the start: a request that was sent at once is answered."""
    worker = await stage.backend.start(NAME, await stage.record("def handle(event): pass\n"))
    assert (worker.takes_early, worker.state) == (True, "starting")
    assert (await stage.ask(worker)).status == 202
    await stage.within(worker.ready)
    assert worker.state == "ready"


async def test_many_starts(stage):
    """Starts at once and before the zygote is warm all succeed."""
    record = await stage.record("def handle(event): pass\n")
    workers = [await stage.backend.start(NAME, record) for _ in range(20)]
    answers = await asyncio.gather(*(stage.ask(worker) for worker in workers))
    assert [answer.status for answer in answers] == [202] * 20
    await asyncio.gather(*(stage.backend.stop(worker, 10) for worker in workers))
    assert [worker.exited.result() for worker in workers] == [0] * 20


async def test_stop_drains(stage):
    """SIGTERM lets a request in flight finish: it is answered, and the worker exits with 0."""
    worker = await stage.start("""
        import asyncio
        async def handle(event):
            print("begun")
            await asyncio.sleep(0.2)
        """)
    asking = asyncio.get_running_loop().create_task(stage.ask(worker))
    await stage.printed("begun")
    await stage.backend.stop(worker, 10)
    assert (await asking).status == 202
    assert worker.exited.result() == 0


async def test_stop_drains_threads(stage):
    """The same holds for a plain function in its thread."""
    worker = await stage.start("""
        import time
        def handle(event):
            print("begun")
            time.sleep(0.2)
        """)
    asking = asyncio.get_running_loop().create_task(stage.ask(worker))
    await stage.printed("begun")
    await stage.backend.stop(worker, 10)
    assert (await asking).status == 202


async def test_stop_kills_after_the_grace(stage):
    """What does not end within the grace is killed, with all it has started."""
    worker = await stage.start("""
        import subprocess, threading
        def handle(event):
            print(subprocess.Popen(["sleep", "1000"]).pid)
            threading.Event().wait()
        """)
    asking = asyncio.get_running_loop().create_task(stage.ask(worker))
    pid = int((await stage.lines(1))[0])
    await stage.backend.stop(worker, 0.05)
    assert worker.exited.result() == -signal.SIGKILL
    await stage.until(lambda: not is_alive(pid))
    assert "is killed" in stage.log()[-1]
    with pytest.raises(Exception, match=r"reset|closed|aborted"):
        await asking


@pytest.mark.parametrize("code", [
    "async def app(scope, receive, send):\n    if scope['type'] != 'http': return\n    STUCK\n",
    "async def handle(event):\n    STUCK\n",
])
async def test_stop_kills_a_stuck_loop_sooner(stage, monkeypatch, code):
    """A function that does not even stop listening when it is told to end will not: it is not waited for."""
    monkeypatch.setattr(local, "_HEEDING_S", 0.3)
    worker = await stage.start(code.replace("STUCK", "print('stuck')\n    while True: pass"))
    asking = asyncio.get_running_loop().create_task(stage.ask(worker))
    await stage.printed("stuck")
    await stage.within(stage.backend.stop(worker, 600))
    assert stage.log()[-1] == ("it took no notice of SIGTERM for 0.3 s, so its event loop is stuck, "
                               "and is killed")
    with pytest.raises(Exception, match=r"reset|closed|aborted"):
        await asking


async def test_stop_waits_for_one_that_ends(stage, monkeypatch):
    """A function that has heard and takes its time has its grace, whatever those it has forked still hold."""
    monkeypatch.setattr(local, "_HEEDING_S", 0.1)
    worker = await stage.start("""
        import asyncio, os, time
        if os.fork() == 0:
            time.sleep(600)
            os._exit(0)
        class Function:
            async def handle(self, scope, receive, send): pass
            async def stop(self):
                print("putting away")
                while not os.path.exists(DONE):
                    await asyncio.sleep(0.02)
                print("put away")
        def new(): return Function()
        """.replace("DONE", repr(str(stage.data_dir / "done"))))
    os.kill(stage.backend._children[worker.id].pid, signal.SIGTERM)
    await stage.printed("putting away")
    stopping = asyncio.get_running_loop().create_task(stage.backend.stop(worker, 600))
    await asyncio.wait([stopping], timeout=0.5)
    (stage.data_dir / "done").touch()
    await stage.within(stopping)
    assert (worker.exited.result(), stage.log()[-1]) == (0, "put away")


async def test_stop_before_it_is_ready(stage):
    """A worker that hangs in its import can be stopped; its `ready` says so."""
    worker = await stage.backend.start(NAME, await stage.record("print('hangs')\nwhile True: pass\n"))
    await stage.printed("hangs")
    await stage.backend.stop(worker, 10)
    with pytest.raises(StartFailed) as failure:
        await worker.ready
    assert failure.value.reason == "Stopped"
    await stage.backend.stop(worker, 10)  # and once more is nothing


async def test_stop_at_once(stage):
    """No grace kills even a child that was just forked."""
    worker = await stage.backend.start(NAME, await stage.record("def handle(event): pass\n"))
    await stage.within(stage.backend.stop(worker, 0))
    assert worker.exited.result() == -signal.SIGKILL


async def test_a_killed_worker_is_reported(stage):
    """SIGKILL from outside becomes `exited`, and its children are ended too."""
    worker = await stage.start("""
        import os, subprocess
        child = subprocess.Popen(["sleep", "1000"])
        print(os.getpid(), child.pid)
        def handle(event): pass
        """)
    pid, child_pid = map(int, (await stage.lines(1))[0].split())
    os.kill(pid, signal.SIGKILL)
    assert await stage.within(asyncio.shield(worker.exited)) == -signal.SIGKILL
    await stage.until(lambda: not is_alive(child_pid))


async def test_a_killed_zygote_is_replaced(stage):
    """When the zygote is killed, its workers and theirs end and are reported, and the next start works."""
    worker = await stage.start("""
        import os, subprocess
        child = subprocess.Popen(["sleep", "1000"])
        print(os.getpid(), child.pid, os.getppid())
        def handle(event): pass
        """)
    pid, child_pid, zygote_pid = map(int, (await stage.lines(1))[0].split())
    os.kill(zygote_pid, signal.SIGKILL)
    assert await stage.within(asyncio.shield(worker.exited)) == -signal.SIGKILL
    await stage.until(lambda: not is_alive(pid))
    await stage.until(lambda: not is_alive(child_pid))
    again = await stage.start("def handle(event): pass\n")
    assert (await stage.ask(again)).status == 202


async def test_close_ends_everything(stage):
    """After close no process is left, however deaf."""
    await stage.start("""
        import os, signal, subprocess
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(os.getpid(), subprocess.Popen(["sleep", "1000"]).pid, os.getppid())
        def handle(event): pass
        """)
    pids = [int(word) for word in (await stage.lines(1))[0].split()]
    await stage.within(stage.backend.close())
    assert not any(is_alive(pid) for pid in pids)


ROLE = """
import asyncio, sys
from pathlib import Path
from eventing.config import Config
from serving.workers.local import LocalBackend

async def main():
    backend = LocalBackend(Config(data_dir=Path(sys.argv[1])), None)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(backend.run())
        command = ["sh", "-c", "sleep 1000 & echo $$$$ $PPID $!; trap '' TERM; wait"]
        await backend.start("default/hello-00001", {"uid": "1", "command": command})

asyncio.run(main())
"""


async def test_a_killed_role_leaves_nothing(stage):
    """When the serving role is killed, its zygote, its workers and what they started end."""
    role = await asyncio.create_subprocess_exec(sys.executable, "-c", ROLE, str(stage.data_dir))
    pids = [int(word) for word in (await stage.lines(1))[0].split()]
    assert all(is_alive(pid) for pid in pids)
    role.kill()
    await role.wait()
    await stage.until(lambda: not any(is_alive(pid) for pid in pids))


async def test_no_descriptors_leak(stage):
    """The role has as many descriptors after many workers as before."""
    record = await stage.record("def handle(event): pass\n")
    await stage.start("def handle(event): pass\n")
    await stage.spare()
    before = descriptors()
    for _ in range(5):
        worker = await stage.backend.start(NAME, record)
        await stage.within(worker.ready)
        await stage.backend.stop(worker, 10)
    await stage.spare()
    assert descriptors() == before


async def test_descriptors_of_a_worker(stage):
    """A worker has /dev/null, its output, its socket and nothing of ours, not even what we let leak."""
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    worker = await stage.start(
        "import os\n"
        "numbers = sorted(map(int, os.listdir('/proc/self/fd')[:-1]))\n"
        "links = [os.readlink(f'/proc/self/fd/{number}') for number in numbers]\n"
        "print(*[link.split(':')[0] for link in links])\n"
        "def handle(event): pass\n"
    )
    os.close(reading)
    os.close(writing)
    assert worker.state == "ready"
    assert stage.log() == ["/dev/null pipe pipe socket socket pipe"]


async def test_environment(stage):
    """A worker's environment is the revision's, Knative's, and three more; nothing of the role's."""
    os.environ["CLARION_TEST_SECRET"] = "s3cret"
    try:
        worker = await stage.start(
            """
            import json, os
            def handle(event):
                print(json.dumps(dict(os.environ)))
                print(b"s3cret" in open("/proc/self/environ", "rb").read())
            """,
            env={"COLOUR": "blue", "PORT": "1", "HOME": "/nowhere"},
        )
        await stage.ask(worker)
    finally:
        del os.environ["CLARION_TEST_SECRET"]
    await stage.printed("False")
    assert json.loads(stage.log()[0]) == {
        "COLOUR": "blue",
        "HOME": "/nowhere",
        "PATH": os.environ["PATH"],
        "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
        "PORT": str(worker.address[1]),
        "K_SERVICE": "hello",
        "K_CONFIGURATION": "hello",
        "K_REVISION": "hello-00001",
    }


async def test_a_process_of_its_own(stage):
    """A worker leads its own session, in its bundle's folder, which comes first on sys.path."""
    worker = await stage.start(
        PRINTS.format(
            expression="__import__('os').getsid(0) == __import__('os').getpid(), "
            "__import__('os').getcwd() == __import__('sys').path[0], "
            "__import__('sys').stdin.read() == ''"
        )
    )
    await stage.ask(worker)
    await stage.printed("True True True")


async def test_random_numbers_differ(stage):
    """Two workers of one zygote draw different random numbers."""
    record = await stage.record(
        "import random, uuid\ndef handle(event): print(random.random(), uuid.uuid4())\n"
    )
    for _ in range(2):
        await stage.ask(await stage.backend.start(NAME, record))
    first, second = (line.split() for line in await stage.lines(2))
    assert first[0] != second[0]
    assert first[1] != second[1]


async def test_memory_limit(stage):
    """A function over its memory limit gets MemoryError, an answer; threads and the next event still work."""
    worker = await stage.start(
        """
        def handle(event):
            bytearray(event.get_data()["qty"] * 1024 * 1024)
        """,
        memory_bytes=128 * 1024 * 1024,
    )
    answer = await stage.ask(worker, b'{"qty": 200}')
    assert (answer.status, answer.body) == (500, b"MemoryError:\n")
    assert (await stage.ask(worker, b'{"qty": 8}')).status == 202


@pytest.mark.parametrize("is_spare", [True, False])
async def test_least_memory_limit(stage, is_spare):
    """What a function needs at least does not depend on where its worker comes from, and is enough."""
    async def start(mebibytes):
        record = await stage.record("def handle(event): pass\n", memory_bytes=mebibytes * 1024 * 1024)
        if is_spare:
            await stage.spare()
        return await stage.backend.start(NAME, record)

    few = await start(39)
    with pytest.raises(StartFailed, match="39Mi is too small: a worker needs about 40Mi"):
        await stage.within(few.ready)
    enough = await start(40)
    assert (await stage.ask(enough)).status == 202


async def test_record_that_makes_no_sense(stage):
    """A start that cannot be is refused, whatever it is that cannot, and nothing of it stays."""
    volumes = {"mounts": [], "scratch": {"d": {"memory": False, "size_bytes": None}}}
    await stage.start("def handle(event): pass\n", volumes=volumes)
    record = await stage.record("def handle(event): pass\n", volumes=volumes)
    await stage.spare()
    before = descriptors()
    for odd in ({"env": 1}, {"args": [1], "command": ["true"]}, {"working_dir": 1}, {"preload": 1}):
        with pytest.raises(StartFailed, match="StartFailed: TypeError: "):
            await stage.backend.start(NAME, {**record, **odd})
    assert descriptors() == before
    assert len(list((stage.data_dir / "volumes/scratch").iterdir())) == 1


@pytest.mark.parametrize("said", [b"nonsense", b"[]", b"1", b'{"failed": 1}', b'{"ready": {"a": []}}'])
@pytest.mark.parametrize("after", ["os._exit(3)", "time.sleep(600)"])
async def test_report_that_is_none(stage, said, after):
    """A function that writes into its worker's own pipe is not served, and its worker is gone."""
    code = f"import os, time\nos.write({REPORT}, {said!r})\n{after}\ndef handle(event): pass\n"
    worker = await stage.backend.start(NAME, await stage.record(code))
    with pytest.raises(StartFailed) as failure:
        await stage.within(asyncio.shield(worker.ready))
    assert failure.value.reason == "ReportInvalid"
    await stage.within(asyncio.shield(worker.exited))
    assert str(failure.value.message) in stage.log()


async def test_no_thread_left(stage):
    """An event for which no thread can be started is 503, to be sent again; the worker ends, for another."""
    worker = await stage.start(
        """
        import threading
        def refuse(self): raise RuntimeError("can't start new thread")
        threading.Thread.start = refuse
        def handle(event): pass
        """,
    )
    answer = await stage.ask(worker)
    assert (answer.status, answer.body.startswith(b"RuntimeError: can't start new thread")) == (503, True)
    assert await stage.within(worker.exited) == 0


async def test_preload(stage):
    """A preloaded module is there before the function is; the default zygote does not have it."""
    code = "import sys\nprint('colorsys' in sys.modules, 'wave' in sys.modules)\ndef handle(event): pass\n"
    await stage.start(code, preload=["wave"])
    await stage.start(code)
    assert stage.log()[0].endswith("True")
    assert stage.log()[1].endswith("False")


@pytest.mark.parametrize(
    ("module", "words"), [("nosuchmodule", "No module named 'nosuchmodule'"), ("this.that", "this")]
)
async def test_preload_that_fails(stage, module, words):
    """A module that cannot be preloaded fails the revisions that ask for it, and no others."""
    record = await stage.record("def handle(event): pass\n", preload=[module])
    worker = await stage.backend.start(NAME, record)
    with pytest.raises(StartFailed) as failure:
        await stage.within(worker.ready)
    assert failure.value.reason == "PreloadFailed"
    said = f"clarion.dev/preload: {module!r} cannot be imported: ModuleNotFoundError: "
    assert failure.value.message.startswith(said + "No module named ")
    assert words in failure.value.message
    assert stage.log()[0] == failure.value.message
    assert not any("File " in line for line in stage.log()), stage.log()  # none of our own
    await stage.start("def handle(event): pass\n")


SERVER = """
    import http.server, os, sys
    class Hello(http.server.BaseHTTPRequestHandler):
        asked = 0
        def do_GET(self):
            Hello.asked += 1
            self.send_response(200 if self.path == "/" or Hello.asked > 2 else 503)
            self.end_headers()
            self.wfile.write(" ".join(sys.argv[1:]).encode())
    print("fds", *sorted(map(int, os.listdir("/proc/self/fd")[:-1])), flush=True)
    http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Hello).serve_forever()
    """


@pytest.mark.parametrize(
    "readiness",
    [None, {"tcpSocket": {"port": 0}, "successThreshold": 1}, {"httpGet": {"path": "/ready"}}],
)
async def test_command(stage, readiness):
    """A command is ready when its port, or its probe, answers; it inherits nothing but its output."""
    record = await stage.record(
        files={"server.py": SERVER}, command=[sys.executable], args=["server.py", "a b"], readiness=readiness
    )
    worker = await stage.backend.start(NAME, record)
    assert not worker.takes_early
    await stage.within(worker.ready)
    assert (await stage.ask(worker, b"", method="GET", headers=())).body == b"a b"
    assert stage.log()[0] == "fds 0 1 2"
    await stage.backend.stop(worker, 10)
    assert worker.exited.result() == -signal.SIGTERM


@pytest.mark.parametrize(
    ("command", "reason", "words"),
    [
        (["./nosuch"], "ExitCode127", "./nosuch: No such file"),
        (["/etc"], "ExitCode126", "Permission denied"),
        (["sh", "-c", "echo broken; exit 4"], "ExitCode4", "broken"),
    ],
)
async def test_command_that_fails(stage, command, reason, words):
    """A command that is not there, or ends, says so with the status that a shell would give."""
    worker = await stage.backend.start(NAME, {"uid": "1", "command": command})
    with pytest.raises(StartFailed) as failure:
        await stage.within(worker.ready)
    assert failure.value.reason == reason
    assert words in failure.value.message


async def test_references_in_a_command(stage):
    """Command and arguments may refer to the container's variables, the port among them, and to no others."""
    record = await stage.record(
        files={"sub/server.py": SERVER}, command=["$(PYTHON)", "server.py"], working_dir="sub",
        args=["$(PORT) $(K_REVISION) $(HOME) $$(PORT)"], env={"PYTHON": sys.executable},
    )
    worker = await stage.backend.start(NAME, record)
    await stage.within(worker.ready)
    answer = await stage.ask(worker, b"", method="GET", headers=())
    assert answer.body.decode() == f"{worker.address[1]} hello-00001 $(HOME) $(PORT)"


async def test_working_directory(stage):
    """A function may ask for a folder of this machine to work in; one that is not there is named."""
    code = "import os\ndef handle(event): print(os.getcwd())"
    worker = await stage.start(code, working_dir="/usr")
    await stage.ask(worker)
    await stage.printed("/usr")

    worker = await stage.backend.start(NAME, await stage.record(code, working_dir="/no/such"))
    with pytest.raises(StartFailed, match="No such file or directory: '/no/such'"):
        await stage.within(worker.ready)


async def test_progress_deadline(stage):
    """A program that never listens is given up when its time is over."""
    record = {"uid": "1", "command": ["sleep", "60"], "progress_deadline_s": 0.3}
    worker = await stage.backend.start(NAME, record)
    with pytest.raises(StartFailed) as failure:
        await stage.within(worker.ready)
    assert failure.value.reason == "ProgressDeadlineExceeded"
    assert failure.value.message == "it was not ready after 0.3 s; does it listen on $PORT?"


async def test_progress_deadline_of_a_probe_at_another_port(stage):
    """Somebody else who listens there is named."""
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        port = somebody.getsockname()[1]
        worker = await stage.backend.start(NAME, {
            "uid": "1", "command": ["sleep", "60"], "progress_deadline_s": 2,
            "readiness": {"tcpSocket": {"port": port}, "periodSeconds": 0.1, "timeoutSeconds": 10}})
        with pytest.raises(StartFailed) as failure:
            await stage.within(worker.ready)
    assert failure.value.message == (
        f"it was not ready after 2 s; Readiness probe failed: 127.0.0.1:{port}: on port {port} another "
        "process listens, not this worker")


async def test_what_a_program_has_printed(stage):
    """A program in Python is logged as it prints, not when it ends, as images for Python have it."""
    code = "import time; print('up'); time.sleep(99)"
    record = {"uid": "1", "command": [sys.executable, "-c", code]}
    worker = await stage.backend.start(NAME, record)
    await stage.printed("up")
    await stage.backend.stop(worker, 0)


async def test_readiness_probe(stage):
    """A worker with an HTTP readiness probe is ready when the function says so, not before."""
    worker = await stage.backend.start(
        NAME,
        await stage.record(
            """
        class Function:
            asked = 0
            def ready(self):
                self.asked += 1
                print("asked", self.asked)
                return self.asked > 2
            async def handle(self, scope, receive, send): pass
        def new(): return Function()
        """,
            readiness={"httpGet": {"path": "/health/readiness"}, "successThreshold": 2},
        ),
    )
    assert not worker.takes_early
    await stage.within(worker.ready)
    assert stage.log() == ["asked 1", "asked 2", "asked 3", "asked 4"]


async def test_liveness_probe(stage):
    """A worker that fails its liveness probe says so once and goes on; nobody asks one that is ending."""
    worker = await stage.start(
        """
        import asyncio
        class Function:
            def alive(self): return False, "stuck"
            async def stop(self): await asyncio.sleep(0.2)
            async def handle(self, scope, receive, send): pass
        def new(): return Function()
        """,
        liveness={"httpGet": {"path": "/health/liveness"}, "periodSeconds": 0.02},
    )
    calls = []
    worker.on_failing = lambda: calls.append(worker.state)
    await stage.until(lambda: calls)
    assert calls == ["ready"]
    assert worker.cause.reason == "LivenessFailed"
    assert stage.log()[-1].startswith("Liveness probe failed: HTTP probe failed with statuscode: 503; ")

    often = {"tcpSocket": {}, "periodSeconds": 0.02, "failureThreshold": 1}
    other = await stage.start("def handle(event): pass\n", liveness=often, readiness=often)
    for each in (worker, other):
        await stage.backend.stop(each, 5)
    assert (other.cause, other.unready) == (None, "")


async def test_a_talkative_worker(stage):
    """A worker that prints without end is slowed down, its log is bounded, and others go on."""
    worker = await stage.start("""
        import threading
        def talk():
            while True:
                print("x" * 1000)
        threading.Thread(target=talk, daemon=True).start()
        def handle(event): pass
        """)
    other = await stage.start("def handle(event): pass\n")
    assert (await stage.ask(other)).status == 202
    await stage.backend.stop(worker, 0)
    assert sum(file.stat().st_size for file in (stage.data_dir / "logs/default").iterdir()) < 3 * 1024 * 1024


async def test_bundle_that_is_missing(stage, store):
    """A bundle that is not in the store, or is damaged there, fails the start with what to do about it."""
    with pytest.raises(StartFailed, match="apply its folder again") as failure:
        await stage.backend.start(NAME, {"uid": "1", "bundle": "0" * 64})
    assert failure.value.reason == "BundleMissing"
    await store.set(keys.bundle("0" * 64), b"damaged")
    with pytest.raises(StartFailed) as failure:
        await stage.backend.start(NAME, {"uid": "1", "bundle": "0" * 64})
    assert failure.value.reason == "BundleInvalid"
    with pytest.raises(StartFailed, match="nginx"):
        await stage.backend.start(NAME, {"uid": "1", "bundle": None, "image": "nginx"})
