"""Every form of function in a real worker: what it is given, and what becomes of what it gives back."""

import asyncio
import json

import pytest

from serving.workers.backend import StartFailed

REPLY = """
    from cloudevents.core.v1.event import CloudEvent

    {kind} handle(event):
        print("got", event.get_id(), event.get_data()["qty"])
        return CloudEvent({{"type": "order.priced", "source": "/price", "subject": "é"}}, {{"total": 7}})
    """


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_handle_replies(stage, kind):
    """A plain or async handle(event) answers 200 with its event in binary mode."""
    worker = await stage.start(REPLY.format(kind=kind))
    answer = await stage.ask(worker)
    assert (answer.status, json.loads(answer.body)) == (200, {"total": 7})
    assert answer.header(b"ce-type") == b"order.priced"
    assert answer.header(b"ce-subject") == b"%C3%A9"
    assert answer.header(b"content-type") == b"application/json"
    assert answer.header(b"ce-id")
    await stage.printed("got 1 2")


async def test_handle_takes_structured_events(stage):
    """An event in structured mode is the same event."""
    worker = await stage.start(REPLY.format(kind="def"))
    event = {"specversion": "1.0", "id": "9", "source": "/s", "type": "t", "data": {"qty": 3}}
    answer = await stage.ask(
        worker,
        json.dumps(event).encode(),
        headers=[(b"content-type", b"application/cloudevents+json; charset=utf-8")],
    )
    assert answer.status == 200
    await stage.printed("got 9 3")


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        pytest.param("pass", 202, "", id="None is accepted"),
        pytest.param("raise KeyError('sku')", 500, "KeyError: 'sku'\n", id="raises"),
        pytest.param("next(iter(()))", 500, "StopIteration:\n", id="raises what a future cannot hold"),
        pytest.param("raise SystemExit(3)", 500, "SystemExit: 3\n", id="exits"),
        pytest.param(
            "return 42",
            500,
            "handle returned int 42; expected a cloudevents.core.v1.event.CloudEvent or None\n",
            id="returns garbage",
        ),
        pytest.param(
            "event.get_attributes()['subject'] = 'é'; event._data = {1, 2}; return event",
            500,
            "handle returned an event that cannot be encoded: "
            "TypeError: Type is not JSON serializable: set\n",
            id="returns what cannot be written",
        ),
    ],
)
async def test_handle_answers(stage, body, status, text):
    """Whatever handle does there is an answer, and the worker goes on."""
    worker = await stage.start(f"def handle(event):\n    {body}\n")
    answer = await stage.ask(worker)
    assert (answer.status, answer.body.decode()) == (status, text)
    assert (await stage.ask(worker)).status == status


async def test_async_handle_raises(stage):
    """An async function that raises is an answer too; its traceback, without our frames, is in the log."""
    worker = await stage.start("async def handle(event):\n    raise ValueError('two\\nlines')\n")
    answer = await stage.ask(worker)
    assert (answer.status, answer.body) == (500, b"ValueError: two lines\n")
    await stage.printed("lines")
    assert stage.log()[0] == "Traceback (most recent call last):"
    assert stage.log()[1].endswith('func.py", line 2, in handle')


async def test_logging(stage):
    """What a function logs at INFO and above is in its log, and nothing of the server's own is."""
    worker = await stage.start("""
        import logging
        def handle(event):
            logging.debug("not this")
            logging.info("this")
        """)
    await stage.ask(worker)

    await stage.printed("INFO:root:this")
    assert stage.log() == ["INFO:root:this"]


async def test_requests_that_are_no_events(stage):
    """Health checks answer, another method is 405, and what is no CloudEvent is 400 with the reason."""
    worker = await stage.start("def handle(event): print('called')\n")
    for path in ("/health/liveness", "/health/readiness"):
        assert (await stage.ask(worker, b"", method="GET", path=path, headers=())).status == 200
    assert (await stage.ask(worker, b"", method="GET", headers=())).status == 405
    answer = await stage.ask(worker, b"{}", headers=[(b"content-type", b"text/plain")])
    assert (answer.status, b"no header ce-specversion" in answer.body) == (400, True)
    headers = ((b"ce-specversion", b"1.0"), (b"ce-id", b"1"), (b"ce-type", b"t"))
    answer = await stage.ask(worker, headers=headers)
    assert (answer.status, b"source" in answer.body) == (400, True)
    for garbage in (b"[]", b"{", b"\xff", b'{"time": 3}'):
        answer = await stage.ask(
            worker, garbage, headers=[(b"content-type", b"application/cloudevents+json")]
        )
        assert answer.status == 400
    assert "called" not in stage.log()


async def test_plain_functions_run_side_by_side(stage):
    """One plain function that waits does not make the next event wait: two meet at a barrier."""
    worker = await stage.start("""
        import threading
        both = threading.Barrier(2, timeout=10)
        def handle(event):
            both.wait()
        """)
    answers = await asyncio.gather(stage.ask(worker), stage.ask(worker))
    assert [answer.status for answer in answers] == [202, 202]


INSTANCED = {
    "pyproject.toml": "[project]\nname = 'function'\n",
    "func.yaml": "specVersion: 0.36.0\nruntime: python\n",
    "function/__init__.py": "from .func import new\n",
    "function/func.py": """
        import logging
        from cloudevents.core.v1.event import CloudEvent

        def new():
            return Function()

        class Function:
            def __init__(self):
                self.greeting = None

            async def handle(self, scope, receive, send):
                if "event" not in scope:
                    body = (await receive())["body"]
                    await send({"type": "http.response.start", "status": 200, "headers": []})
                    await send({"type": "http.response.body", "body": self.greeting.encode() + body})
                    return
                event = scope["event"]
                what = event.get_data()["do"]
                if what == "fail":
                    raise RuntimeError("no")
                reply = CloudEvent({"type": "hello", "source": "/f", "id": event.get_id()}, {"was": what})
                if what == "binary":
                    await send.binary(reply, 201)
                elif what == "reply":
                    await send(reply)

            def start(self, cfg):
                self.greeting = cfg["GREETING"]

            def stop(self):
                print("stopped")

            def alive(self):
                return True, "I am alive"

            def ready(self):
                return False
        """,
}


async def test_instanced_function(stage):
    """Knative's template runs as it is: new, start, handle, send(event), alive, ready, stop."""
    worker = await stage.start(files=INSTANCED, env={"GREETING": "hi "})
    assert (await stage.ask(worker, b"there", headers=())).body == b"hi there"
    answer = await stage.ask(worker, b'{"do": "reply"}')
    assert answer.header(b"content-type") == b"application/cloudevents+json"
    assert json.loads(answer.body)["data"] == {"was": "reply"}
    answer = await stage.ask(worker, b'{"do": "binary"}')
    assert (answer.status, answer.header(b"ce-id"), answer.body) == (201, b"1", b'{"was": "binary"}')
    assert (await stage.ask(worker, b'{"do": "nothing"}')).status == 202
    answer = await stage.ask(worker, b'{"do": "fail"}')
    assert (answer.status, answer.body) == (500, b"RuntimeError: no\n")
    answer = await stage.ask(worker, b"", method="GET", path="/health/liveness", headers=())
    assert (answer.status, answer.body) == (200, b"I am alive\n")
    answer = await stage.ask(worker, b"", method="GET", path="/health/readiness", headers=())
    assert (answer.status, answer.body) == (503, b"Not OK\n")
    headers = [(b"ce-specversion", b"1.0")]
    assert (await stage.ask(worker, headers=headers)).status == 400
    await stage.backend.stop(worker, 10)
    assert worker.exited.result() == 0
    assert stage.log()[-1] == "stopped"


async def test_instanced_function_that_takes_events_only(stage):
    """A function that finds no event where it looks for one: 400 with what is missing."""
    worker = await stage.start(files={"func.py": """
        def new(): return Function()
        class Function:
            async def handle(self, scope, receive, send):
                return {"event": scope["event"]}[scope["event"].get_id()]
        """})

    plain = await stage.ask(worker, b"{}", headers=[(b"content-type", b"application/json")])
    event = await stage.ask(worker, b"{}")

    assert plain.status == 400
    assert plain.body == (b"this function takes CloudEvents: there is no header ce-specversion, and "
                          b"content-type is 'application/json', not application/cloudevents+json\n")
    assert (event.status, event.body) == (500, b"KeyError: '1'\n")
    await stage.printed("KeyError: '1'")
    assert sum(line.startswith("Traceback") for line in stage.log()) == 1


async def test_static_handle(stage):
    """A module-level handle(scope, receive, send) is Knative's other shape."""
    worker = await stage.start("""
        async def handle(scope, receive, send):
            await send.structured(scope["event"])
        """)
    answer = await stage.ask(worker)
    assert json.loads(answer.body)["id"] == "1"


async def test_asgi_app(stage):
    """An ASGI app has all paths to itself, and its lifespan is run."""
    worker = await stage.start("""
        state = []
        async def app(scope, receive, send):
            if scope["type"] == "lifespan":
                while True:
                    state.append((await receive())["type"])
                    print(*state)
                    await send({"type": state[-1] + ".complete"})
                    if state[-1].endswith("shutdown"):
                        return
            if scope["path"] == "/fail":
                raise RuntimeError("oh")
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": scope["path"].encode()})
        """)
    answer = await stage.ask(worker, path="/health/liveness")
    assert (answer.status, answer.body) == (200, b"/health/liveness")
    assert (await stage.ask(worker, path="/fail")).status == 500
    await stage.printed("RuntimeError: oh")
    await stage.backend.stop(worker, 10)
    assert worker.exited.result() == 0
    assert stage.log()[-1] == "lifespan.startup lifespan.shutdown"


@pytest.mark.parametrize(
    ("code", "reason", "words"),
    [
        pytest.param(
            "import nosuchmodule\ndef handle(event): pass\n",
            "ExitCode1",
            "ModuleNotFoundError: No module named 'nosuchmodule'",
            id="import error",
        ),
        pytest.param("def handle(event:\n", "ExitCode1", "SyntaxError", id="syntax error"),
        pytest.param("import sys\nprint('bye')\nsys.exit(3)\n", "ExitCode3", "SystemExit: 3", id="exits"),
        pytest.param("import sys\nsys.exit(0)\n", "ExitCode0", 'File "func.py", line 2', id="exits well"),
        pytest.param(
            "import os\nprint('gone', flush=True)\nos._exit(9)\n", "ExitCode9", "gone", id="ends at once"
        ),
        pytest.param(
            "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n",
            "Signal11",
            "printed nothing",
            id="crashes",
        ),
        pytest.param("x = 1\n", "NoEntry", "defines none of new, app, handle", id="no function"),
        pytest.param(
            "def handle(event, context): pass\n",
            "NoEntry",
            "func:handle(event, context): expected",
            id="wrong signature",
        ),
        pytest.param(
            "def new(): return 3\n", "NoEntry", "func:new() made a int", id="instance without handle"
        ),
        pytest.param(
            """
        class F:
            async def handle(self, scope, receive, send): pass
            def start(self, cfg): raise KeyError("DATABASE")
        def new(): return F()
        """,
            "ExitCode1",
            "KeyError: 'DATABASE'",
            id="start raises",
        ),
    ],
)
async def test_start_fails(stage, code, reason, words):
    """A function that cannot start says why through `ready`, and its process is gone."""
    worker = await stage.backend.start("default/hello-00001", await stage.record(code))
    with pytest.raises(StartFailed) as failure:
        await stage.within(worker.ready)
    assert failure.value.reason == reason
    assert words in failure.value.message
    await stage.within(worker.exited)
    assert reason == "Signal11" or words in "\n".join(stage.log())


async def test_entry_annotation(stage):
    """clarion.dev/entry names the function, wherever it is."""
    files = {"func.py": "raise SystemExit\n", "src/orders.py": "def price(event): print('priced')\n"}
    worker = await stage.start(files=files, entry="src.orders:price")
    assert (await stage.ask(worker)).status == 202
    await stage.printed("priced")


async def test_bundle_shadows_our_modules(stage):
    """A bundle may have modules that are called as ours are."""
    files = {
        "func.py": "import serving\nfrom serving.price import total\ndef handle(event): print(total)\n",
        "serving/__init__.py": "",
        "serving/price.py": "total = 7\n",
    }
    worker = await stage.start(files=files)
    assert (await stage.ask(worker)).status == 202
    await stage.printed("7")
