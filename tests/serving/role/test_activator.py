"""The way a request finds to a worker: hosts, headers, percentages, probes."""

import asyncio
import contextlib
import json

import pytest

from eventing import projection


async def test_unknown_host_and_revision(house):
    """Nobody answers there: 404 that says so."""
    answer = await house.ask("nobody")
    assert (answer.status, b"nobody" in answer.body) == (404, True)
    await house.route("lost", {"missing": 100})

    async def is_known():
        return b"missing" in (await house.ask("lost")).body

    await house.until(is_known)
    assert (await house.ask("lost")).status == 404


@pytest.mark.parametrize("extra", [(), ((b"connection", b"x"),)], ids=["plain", "with more to look at"])
async def test_no_client_names_a_revision(house, extra):
    """Knative-Serving-Revision and -Namespace choose nothing, and do not reach the function."""
    await house.revision("a")
    await house.revision("b")
    answer = await house.ask("a", headers=[(b"knative-serving-revision", b"b"),
                                           (b"knative-serving-namespace", b"default"), *extra])
    body = json.loads(answer.body)
    assert body["revision"] == "a"
    assert not [name for name in body["headers"] if name.startswith("knative-serving")]
    assert body["headers"]["k-proxy-request"] == "activator"


async def test_worker_learns_where_the_request_came_from(house):
    """Host arrives unchanged; Forwarded is made of X-Forwarded-For where it is missing."""
    await house.revision("a")
    answer = await house.ask("a", headers=[(b"x-forwarded-for", b"10.0.0.1, ::1"), (b"te", b"trailers")])
    headers = json.loads(answer.body)["headers"]
    assert headers["host"] == "a"
    assert headers["forwarded"] == 'for=10.0.0.1;host="a";proto=http, for="[::1]"'
    assert "te" not in headers


async def test_split_is_exact(house):
    """Of 20 requests at 75/25 percent, 15 and 5 arrive."""
    await house.revision("a")
    await house.revision("b")
    await house.answer_at("split", {"a": 75, "b": 25})
    answers = [json.loads((await house.ask("split")).body)["revision"] for _ in range(20)]
    assert (answers.count("a"), answers.count("b")) == (15, 5)


async def test_inner_names(house):
    """A Service answers at its inner name, too."""
    await house.revision("a")
    await house.route("a.default.localhost", {"a": 100})

    async def answers():
        return (await house.ask("a.default.localhost")).status == 200

    await house.until(answers)
    for host in ("a.default.svc.cluster.local", "A.default.svc.cluster.local:80", "a.default.localhost.",
                 "a.default.localhost.:80"):
        assert json.loads((await house.ask(host)).body)["revision"] == "a"
    assert (await house.ask("b.default.svc.cluster.local")).status == 404


async def test_domain_stands_for_a_host(house):
    """A domain leads where its host leads, until it goes."""
    await house.revision("a")
    await projection.write(house.store, "routes", "shop.example.com",
                           {"service": "default/a", "alias": "a"})

    async def answers():
        return (await house.ask("Shop.example.com:80")).status == 200

    async def is_gone():
        return (await house.ask("shop.example.com")).status == 404

    await house.until(answers)
    await projection.write(house.store, "routes", "shop.example.com", None)
    await house.until(is_gone)


async def test_domain_of_a_service_with_its_own(house):
    """An inner name may stand for any host, and a domain for an inner name."""
    await house.revision("a")
    inner = "a.default.svc.cluster.local"
    await projection.write(house.store, "routes", inner, {"service": "default/a", "alias": "a"})
    await projection.write(house.store, "routes", "shop.example.com", {"service": "s", "alias": inner})

    async def answers():
        return [(await house.ask(host)).status for host in (inner, "shop.example.com")] == [200, 200]

    await house.until(answers)


async def test_tag_of_a_request(house):
    """Where the feature is on, a header chooses the tag, and the function is told how it was chosen."""
    await house.revision("a")
    await house.revision("b")
    tagged = [{"revision": "default/b", "percent": 100, "tag": "t"}]
    record = {"service": "default/s", "targets": [{"revision": "default/a", "percent": 100, "tag": ""}]}
    await projection.write(house.store, "routes", "s", record | {"tags": {"t": tagged}})
    await projection.write(house.store, "routes", "t-s", {"service": "s", "targets": tagged, "tags": {}})

    async def is_known():
        return (await house.ask("t-s")).status == 200

    async def seen(host, *headers):
        body = json.loads((await house.ask(host, headers=headers)).body)
        marks = {name: value for name, value in body["headers"].items() if name.startswith("knative-")}
        return body["revision"], marks

    await house.until(is_known)
    forged = (b"knative-serving-default-route", b"true")
    assert await seen("s") == ("a", {"knative-serving-default-route": "true"})
    assert await seen("s", (b"knative-serving-tag", b"t"), forged) == ("b", {"knative-serving-tag": "t"})
    assert await seen("s", (b"knative-serving-tag", b"u")) == (
        "a", {"knative-serving-tag": "u", "knative-serving-default-route": "true"})
    assert await seen("t-s", (b"knative-serving-tag", b"u")) == ("b", {"knative-serving-tag": "t"})


@pytest.mark.parametrize(("headers", "status", "body"), [
    ([(b"k-network-probe", b"activator")], 200, b"activator"),
    ([(b"k-network-probe", b"probe"), (b"k-network-hash", b"h")], 200, b""),
    ([(b"k-network-probe", b"probe")], 400,
     b"a probe request must contain a non-empty K-Network-Hash header\n"),
    ([(b"k-network-probe", b"other")], 400, b"unexpected probe header value: other\n"),
    ([(b"user-agent", b"kube-probe/1.33")], 200, b""),
    ([(b"k-kubelet-probe", b"yes")], 200, b""),
])
async def test_probes(house, headers, status, body):
    """Probes are answered by the activator itself."""
    answer = await house.ask("any", headers=headers)
    assert (answer.status, answer.body) == (status, body)


STRANGE = (
    b"x: a\r\n b", b"x: a\x00b", b"x: a\rb", b"x:", b": x", b"host: a", b"x: \xff\xfe", b"content-length: 5x",
    b"connection: x-forwarded-for, host", b"upgrade: ", b"transfer-encoding: chunked\r\ncontent-length: 3",
    b"knative-serving-revision: \xff", b"k-network-probe: \xff", b"expect: 100-continue\r\ncontent-length: 0",
)


async def test_strange_heads_harm_nobody(house):
    """Whatever a head says, it is answered or cut, and the next client is served."""
    await house.revision("a")
    for line in STRANGE:
        reader, writer = await asyncio.open_unix_connection(house.config.activator_socket)
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n" + line + b"\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(10):
                await reader.read()
        writer.close()
        assert (await house.ask("a")).status == 200
