"""The request log, when config-observability asks for it: a line for each request in its revision's log."""

import json

from eventing import projection
from serving.workers import logs


async def logged(house, name, count):
    """The first *count* lines in the log of a revision, as JSON."""
    async def look():
        lines = logs.read(logs.path(house.config.data_dir, "default", name), 1000)
        found = [line.split(b" ", 2)[1:] for line in lines if b"{" in line]
        found = [(worker.decode(), json.loads(text)) for worker, text in found]
        return found if len(found) >= count else None
    return await house.until(look)


async def enable(house, **data):
    """Turn it on, and return once the role knows."""
    await projection.write(house.store, "configs", "knative-serving/config-observability",
                           {"logging.enable-request-log": "true", **data})

    async def is_on():
        await house.ask("a")
        return logs.read(logs.path(house.config.data_dir, "default", "a"), 1000)

    await house.until(is_on)


async def test_line(house):
    """Knative's line, by the name of the worker that answered, with what was asked and how it went."""
    await house.revision("a")
    await enable(house)
    answer = await house.ask("a", "?x=1", method="POST", body=b"12345", headers=[
        (b"user-agent", b"me"), (b"referer", b"http://r"), (b"x-forwarded-for", b"10.0.0.1, 10.0.0.2"),
        (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")])

    async def is_told():
        lines = await logged(house, "a", 2)
        return next((line for line in lines if line[1]["httpRequest"]["requestMethod"] == "POST"), None)

    worker, line = await house.until(is_told)
    request = line["httpRequest"]
    latency = request.pop("latency")
    assert request == {
        "requestMethod": "POST", "requestUrl": "/?x=1", "requestSize": "5", "status": 200,
        "responseSize": str(len(answer.body)), "userAgent": "me", "remoteIp": "10.0.0.2",
        "serverIp": "127.0.0.1", "referer": "http://r", "protocol": "HTTP/1.1"}
    assert latency.endswith("s")
    assert float(latency[:-1]) >= 0
    assert line["traceId"] == "0af7651916cd43dd8448eb211c80319c"
    assert worker.startswith("a-")


async def test_own_template_and_refusals(house):
    """A template of one's own; a request that no worker had is logged, too."""
    await house.revision("a")
    await house.revision("bad", code="import no_such_module_anywhere\n")
    template = '{"code": {{.Response.Code}}, "of": "{{.Revision.Namespace}}/{{.Revision.Name}}"}'
    await enable(house, **{"logging.request-log-template": template})
    answer = await house.ask("bad")

    async def is_told():
        lines = await logged(house, "bad", 1)
        return [text for _, text in lines if text == {"code": answer.status, "of": "default/bad"}]

    assert answer.status == 503
    assert await house.until(is_told)
