"""Functions written for older interfaces: the SDK's version 1, and Knative's parliament."""

import json

import pytest

from serving.workers.backend import StartFailed


async def test_old_sdk(stage):
    """A function that imports the SDK's old interface gets events that have it, and may return one."""
    worker = await stage.start("""
        from cloudevents.conversion import to_json
        from cloudevents.http import CloudEvent, from_http
        import cloudevents.http.event

        assert cloudevents.http.event.CloudEvent is CloudEvent

        def handle(event):
            assert event["type"] == event.get_type() and "subject" not in event
            assert event.get("subject", 1) == 1
            assert event.data == event.get_data() and {"id", "source"} <= set(event) and len(event) > 3
            return CloudEvent({"type": "old.reply", "source": "/old"}, {"n": event.data["qty"] + 1})
        """)
    answer = await stage.ask(worker)
    assert (answer.status, json.loads(answer.body)) == (200, {"n": 3})
    assert answer.header(b"ce-type") == b"old.reply"


async def test_old_sdk_in_an_instance(stage):
    """Knative's instanced form may send an event of the old interface."""
    worker = await stage.start("""
        from cloudevents.http import CloudEvent

        class Function:
            async def handle(self, scope, receive, send):
                event = scope["event"]
                attributes = {"type": "score", "source": "/s"}
                await send(CloudEvent(attributes, {"was": event.data, "id": event["id"]}))

        def new(): return Function()
        """)
    answer = await stage.ask(worker)
    assert json.loads(answer.body)["data"] == {"was": {"qty": 2}, "id": "1"}
    assert json.loads(answer.body)["type"] == "score"


async def test_unknown_module_of_the_sdk(stage):
    """What the SDK never had is missing as ever."""
    with pytest.raises(StartFailed, match=r"No module named 'cloudevents.nowhere'"):
        await stage.start("import cloudevents.nowhere\n")


async def test_parliament_needs_flask(stage):
    """main(context) without a Flask says what to do, unless there is one."""
    code = "import sys\nsys.modules['flask'] = None\ndef main(context): return 'x'\n"
    with pytest.raises(StartFailed, match=r"put parliament-functions into the function's requirements.txt"):
        await stage.start(code)


PARLIAMENT = """
    from parliament import Context, event

    {decorator}
    def main(context: Context):
        {body}
    """


async def test_parliament_request(stage):
    """main(context) sees Flask's request, and may return what a Flask view returns."""
    pytest.importorskip("flask")
    code = PARLIAMENT.format(decorator="", body="""\
from flask import Request
        assert isinstance(context.request, Request) and list(context) == ["request"]
        asked = context.request
        return {"method": asked.method, "args": asked.args, "json": asked.get_json(silent=True)}, 201
        """)
    worker = await stage.start(code)
    headers = [(b"content-type", b"application/json")]
    answer = await stage.ask(worker, b"", method="GET", path="/?a=1", headers=())
    assert (answer.status, json.loads(answer.body)) == (
        201, {"method": "GET", "args": {"a": "1"}, "json": None})
    answer = await stage.ask(worker, b'{"b": 2}', headers=headers)
    assert json.loads(answer.body)["json"] == {"b": 2}
    assert (await stage.ask(worker, b"", method="GET", path="/health/liveness", headers=())).body == b"OK\n"
    assert (await stage.ask(worker, b"", method="PUT", headers=())).status == 405
    assert (await stage.ask(worker, b"", path="/elsewhere", headers=())).status == 404


async def test_parliament_event(stage):
    """@event makes an event of what main returns; one that raises answers 500 and goes on."""
    pytest.importorskip("flask")
    body = "return {'got': context.cloud_event.data['qty'], 'type': context.cloud_event['type']}"
    worker = await stage.start(PARLIAMENT.format(decorator="@event(event_type='made')", body=body))
    answer = await stage.ask(worker)
    assert (answer.status, json.loads(answer.body)) == (200, {"got": 2, "type": "order.placed"})
    assert (answer.header(b"ce-type"), answer.header(b"ce-source")) == (b"made", b"/parliament/function")
    answer = await stage.ask(worker, b"", method="GET", headers=())
    assert (answer.status, answer.body[:16]) == (500, b"Function raised ")
