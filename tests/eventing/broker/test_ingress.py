"""The data port, byte by byte: what each request is answered, and what is stored."""

import asyncio
import contextlib
import json
import socket

import pytest
import redis
import redis.exceptions
from prometheus_client import CollectorRegistry, generate_latest

from eventing import keys, projection
from eventing.broker import ingress
from eventing.broker.entry import decode
from eventing.config import Config
from eventing.runtime import Runtime

BROKER = "shop/default"
KEY = keys.events(BROKER, 0)
HEADERS = {"Host": "localhost", "Ce-Specversion": "1.0", "Ce-Id": "1", "Ce-Source": "/s", "Ce-Type": "t",
           "Content-Type": "application/json"}
BODY = b'{"qty":2}'
pytestmark = pytest.mark.timeout(30)


class Answer:
    """Status, headers by lower-case name, body."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body


class Role:
    """A running ingress and a client of its port."""

    def __init__(self, runtime, port):
        self.runtime = runtime
        self.port = port

    async def send(self, method="POST", target="/shop/default", headers=HEADERS, body=BODY, drop=(), **more):
        """One request on a connection of its own; *more* are headers with `_` for `-`."""
        sent = {name: value for name, value in headers.items() if name.lower() not in drop}
        sent |= {name.replace("_", "-"): value for name, value in more.items()}
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items()),
                 f"Content-Length: {len(body)}", "Connection: close", "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
        head, _, rest = answer.partition(b"\r\n\r\n")
        first, *fields = head.decode().split("\r\n")
        found = {name.lower(): value for name, value in (field.split(": ", 1) for field in fields)}
        return Answer(int(first.split(" ")[1]), found, rest)

    def metrics(self):
        return generate_latest(self.runtime.metrics).decode()


@contextlib.asynccontextmanager
async def serving(store, tmp_path, record=None, **settings):
    """An ingress that is ready, with the broker shop/default; *record* is more about that one."""
    await projection.write(store, "brokers", BROKER,
                           {"uid": "u", "partitions": 1, "delivery": None} | (record or {}))
    port = _free_port()
    config = Config(data_dir=tmp_path, port=port, drain_s=2, **settings)
    runtime = Runtime(config=config, store=store, metrics=CollectorRegistry())
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ingress.run(runtime))
        async with asyncio.timeout(10):
            while not runtime.is_ready:
                await asyncio.sleep(0.005)
        yield Role(runtime, port)
        runtime.stopping.set()


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(autouse=True)
def _a_serving_role_is_not_waited_for(monkeypatch):
    """None comes here; tests/eventing/http/test_proxy.py has those that do."""
    monkeypatch.setattr("eventing.http.proxy._AWAY_S", 0.1)


@pytest.fixture
async def role(store, tmp_path):
    """An ingress on the tests' common store."""
    async with serving(store, tmp_path) as role:
        yield role


BAD_HEADERS = {**HEADERS, "Ce-Specversion": "7"}


@pytest.mark.parametrize(("request_", "status", "says"), [
    pytest.param({"headers": {**HEADERS, "Host": "nobody.default.localhost:8080"}}, 404, b"nobody.default",
                 id="a host under the Services' domain without a route is 404"),
    pytest.param({"method": "GET", "drop": ("host",)}, 400, b"Host", id="no Host is 400"),
    pytest.param({"headers": {**HEADERS, "Host": ""}}, 400, b"Host", id="an empty Host is 400"),
    pytest.param({"target": "http://nobody.default.localhost/shop/default"}, 404, b"nobody.default",
                 id="the host of a whole URL is the one that counts"),
    pytest.param({"method": "GET", "target": "/cart/items", "headers": {"Host": "Shop.Example:8080"}}, 404,
                 b"no Service answers at shop.example\n", id="a host that is nobody's has nothing to get"),
    pytest.param({"method": "GET", "headers": {"Host": "lc.default.svc.cluster.local"}, "target": "/"}, 404,
                 b"no Service answers at lc.default", id="a Service for inner use is 404"),
    pytest.param({"method": "GET", "headers": {"Host": "shop.example"}}, 405, b"POST",
                 id="a broker is no place to get, by whatever host"),
    pytest.param({"method": "GET", "target": "/", "headers": {"Host": "10.1.2.3:8080"}}, 405, b"POST",
                 id="an address of this machine is 405"),
    pytest.param({"method": "GET", "target": "/", "headers": {"Host": "[::1]:8080"}}, 405, b"POST",
                 id="an IPv6 address of this machine is 405"),
    pytest.param({"method": "OPTIONS"}, 200, b"", id="OPTIONS is 200"),
    pytest.param({"method": "OPTIONS", "target": "/"}, 200, b"", id="OPTIONS is 200 anywhere"),
    pytest.param({"method": "GET"}, 405, b"POST", id="GET is 405"),
    pytest.param({"method": "PUT", "target": "/"}, 405, b"POST", id="the method is checked before the path"),
    pytest.param({"target": "/"}, 404, b"/namespace/broker", id="the root is 404"),
    pytest.param({"target": "/?x=1"}, 404, b"", id="the root with a query is 404"),
    pytest.param({"target": "/shop"}, 400, b"/namespace/broker", id="a short path is 400"),
    pytest.param({"target": "/shop/default/more"}, 400, b"", id="a long path is 400"),
    pytest.param({"target": "//default"}, 400, b"", id="an empty namespace is 400"),
    pytest.param({"target": "/shop/none", "headers": BAD_HEADERS}, 400, b"specversion",
                 id="a bad event for an unknown broker is 400, not 404"),
    pytest.param({"drop": ("ce-specversion",)}, 400, b"specversion", id="not a CloudEvent is 400"),
    pytest.param({"drop": ("ce-type",)}, 400, b"type", id="an event without type is 400"),
    pytest.param({"drop": ("ce-source",)}, 400, b"source", id="an event without source is 400"),
    pytest.param({"drop": ("ce-id",)}, 400, b"id", id="an event without id is 400"),
    pytest.param({"ce_time": "yesterday"}, 400, b"time", id="a time that is none is 400"),
    pytest.param({"headers": {**HEADERS, "Content-Type": "application/cloudevents+json"}, "body": b"{"}, 400,
                 b"", id="structured JSON that does not parse is 400"),
    pytest.param({"Content_Encoding": "br"}, 415, b"br is not read here", id="an unknown encoding is 415"),
    pytest.param({"Content_Encoding": "gzip"}, 400, b"not gzip", id="a body that is not gzip is 400"),
    pytest.param({"target": "/shop/none"}, 404, b"shop/none", id="an unknown broker is 404"),
    pytest.param({"target": "/shop/none", "ce_knativebrokerttl": "1"}, 404, b"",
                 id="the broker is looked up before hops are counted"),
    pytest.param({"ce_knativebrokerttl": "1"}, 400, b"knativebrokerttl", id="the last hop is 400"),
    pytest.param({}, 202, b"", id="an event is 202"),
    pytest.param({"target": "/shop/default/"}, 202, b"", id="one trailing slash is tolerated"),
    pytest.param({"target": "/shop/default?x=/y"}, 202, b"", id="a query string is tolerated"),
    pytest.param({"headers": {**HEADERS, "Host": "elsewhere.example"}}, 202, b"",
                 id="a host that is nobody's reaches the broker"),
])
async def test_status_table(role, store, request_, status, says):
    """Every row of the ingress' table, in its order; what is not accepted is not stored."""
    answer = await role.send(**request_)

    assert answer.status == status, answer.body
    is_of_host = b"no Service answers" in answer.body or b"Host header" in answer.body
    assert answer.headers.get("allow") == (None if is_of_host else "POST, OPTIONS")
    assert says in answer.body
    assert answer.body.count(b"\n") == (1 if status >= 400 else 0)
    assert await store.xlen(KEY) == (1 if status == 202 else 0)


async def test_services_while_their_role_starts_again(role, store):
    """A Service, by whichever spelling of its host, is 503 while nobody serves it, and is asked for again."""
    await projection.write(store, "routes", "a.default.localhost", {"service": "default/a", "targets": []})
    for host in ("a.default.localhost", "A.default.localhost.:8080"):
        async with asyncio.timeout(10):
            while (answer := await role.send("GET", "/", headers={"Host": host})).status == 404:
                await asyncio.sleep(0.01)

        assert (answer.status, answer.body) == (503, b"Services are being started again\n")
        assert answer.headers["retry-after"] == "1"


async def test_options_is_the_webhook_handshake(role):
    """Any origin may send at any rate."""
    answer = await role.send(method="OPTIONS")

    assert answer.headers["webhook-allowed-origin"] == "*"
    assert answer.headers["webhook-allowed-rate"] == "*"


async def test_a_repeat_is_stored_once_and_accepted_every_time(store, tmp_path):
    """Where the broker has a window, an event that is sent again gets 202, and is there once."""
    async with serving(store, tmp_path, record={"partitions": 3, "dedup_window_s": 60}) as role:
        answers = [await role.send(drop=("ce-id",), ce_id=str(number % 4)) for number in range(12)]
        other = await role.send(drop=("ce-source",), ce_source="/other")
        assert {answer.status for answer in [*answers, other]} == {202}
        assert "clarion_append_repeats_total 8.0" in role.metrics()

    assert sum([await store.xlen(keys.events(BROKER, number)) for number in range(3)]) == 5


@pytest.mark.parametrize(("extension", "value", "says"), [
    ("ce_delay", "soon", b'delay: "soon" is no duration'),
    ("ce_delay", "999d", b"delay: is more than 366 days from now"),
    ("ce_deliverat", "tomorrow", b"deliverat: is not a time as in"),
    ("ce_deliverat", "2199-01-01T00:00:00Z", b"deliverat: is more than 366 days from now"),
])
async def test_when_to_deliver_has_to_be_readable(role, store, extension, value, says):
    """An event that says in no readable way when it is due is refused, not delivered at once."""
    answer = await role.send(**{extension: value})

    assert (answer.status, says in answer.body) == (400, True), answer.body
    assert await store.xlen(KEY) == 0


async def test_an_event_of_later_is_held(role, store):
    """A delayed event is on disk, and not in the stream."""
    assert (await role.send(ce_delay="PT1H")).status == 202
    assert (await role.send(ce_deliverat="2020-01-01T00:00:00Z")).status == 202

    [(_, fields)] = await store.xrange(KEY.replace("events", "held"))
    assert decode(fields).attributes["deliverat"] > "2026"
    assert "delay" not in decode(fields).attributes
    assert await store.xlen(KEY) == 1


async def test_a_stored_event_is_what_was_sent_and_a_stamp(role, store):
    """Attributes and data are kept as they came; hops and the time of arrival are added."""
    await role.send(Ce_Color="red", ce_knativebrokerttl="9", ce_knativearrivaltime="1999-01-01T00:00:00Z")

    [(_, fields)] = await store.xrange(KEY)
    event = decode(fields)
    assert event.data == BODY
    arrived = event.attributes["knativearrivaltime"]
    assert event.attributes == {
        "specversion": "1.0", "id": "1", "source": "/s", "type": "t", "datacontenttype": "application/json",
        "color": "red", "knativebrokerttl": "8", "knativearrivaltime": arrived}
    assert arrived > "2020"


async def test_structured_events_are_taken_too(role, store):
    """A structured event is stored with its attributes and its data."""
    body = {"specversion": "1.0", "id": "7", "source": "/s", "type": "t", "data": {"qty": 2}}

    answer = await role.send(headers={"Host": "x", "Content-Type": "application/cloudevents+json"},
                             body=json.dumps(body).encode())

    assert answer.status == 202
    [(_, fields)] = await store.xrange(KEY)
    assert decode(fields).attributes["id"] == "7"
    assert json.loads(decode(fields).data) == {"qty": 2}


async def test_a_body_over_the_limit_is_413_naming_it(store, tmp_path):
    """A body that is too large is refused with the limit, and nothing is stored."""
    async with serving(store, tmp_path, body_limit_bytes=2000) as role:
        answer = await role.send(body=b"x" * 2001)
        assert (answer.status, b"2000" in answer.body) == (413, True)
        assert (await role.send(body=b"x" * 2000)).status == 202

    assert await store.xlen(KEY) == 1


async def test_brokers_come_and_go_while_it_runs(role, store):
    """A broker that is created later is served without a restart; one that is deleted is 404 again."""
    assert (await role.send(target="/shop/later")).status == 404
    await projection.write(store, "brokers", "shop/later", {"uid": "u", "partitions": 3, "delivery": None})
    for wanted, record in ((202, None), (404, None)):
        async with asyncio.timeout(10):
            while (await role.send(target="/shop/later")).status != wanted:
                pass
        await projection.write(store, "brokers", "shop/later", record)


async def test_what_is_new_is_not_404(role, store):
    """A broker or a Service that the store knows, and nobody has told the ingress of, is served."""
    await store.hset(keys.table("brokers"), "shop/new", b'{"uid":"n","partitions":1,"delivery":null}')
    await store.hset(keys.table("routes"), "new.default.localhost", b'{"service":"default/new","targets":[]}')

    assert (await role.send(target="/shop/new")).status == 202
    assert (await role.send("GET", "/", headers={"Host": "new.default.localhost"})).status == 503


async def test_an_unknown_broker_while_the_store_is_away(valkey, tmp_path):
    """Nobody can say that there is none: 503, to be asked again; a bad target is 400 all the same."""
    async with valkey.client() as client, serving(client, tmp_path) as role:
        valkey.kill()
        answer = await role.send(target="/shop/new")
        service = await role.send("GET", "/", headers={"Host": "new.default.localhost"})
        bad = await role.send(target="/shop")
        valkey.start()

    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert b"the store is away" in answer.body
    assert (service.status, bad.status) == (503, 400)


INNER = {"visibility": "cluster-local"}
ALIAS = {"alias": "a-shop.example.com"} | INNER


@pytest.mark.parametrize(("routes", "status"), [
    pytest.param({"a.shop.localhost": {}}, 503, id="the inner name of a host that is served"),
    pytest.param({"a.shop.svc.cluster.local": INNER}, 404, id="a Service for inner use"),
    pytest.param({"a-shop.example.com": {}, "a.shop.svc.cluster.local": ALIAS}, 503,
                 id="a host that is not made of the name"),
    pytest.param({"a.shop.localhost": {"service": "a/shop"}}, 404, id="a host that is another Service's"),
    pytest.param({"b-a.shop.svc.cluster.local": INNER,
                  "a.shop.svc.cluster.local": {"alias": "b-a.shop.svc.cluster.local"} | INNER},
                 404, id="another name of a Service for inner use"),
])
async def test_inner_names_of_what_is_served_lead_to_the_activator(store, tmp_path, routes, status):
    """A dispatcher elsewhere asks here for a Service by its inner name; one for inner use is not reached."""
    await projection.write_many(store, "routes", {
        host: {"service": "shop/a", "targets": []} | record for host, record in routes.items()})
    async with serving(store, tmp_path) as role:
        answer = await role.send(target="/", headers={**HEADERS, "Host": "a.shop.svc.cluster.local"})
        await projection.write_many(store, "routes", dict.fromkeys(routes))
        async with asyncio.timeout(10):
            while (await role.send(target="/", headers={**HEADERS, "Host": "a.shop.svc.cluster.local"})
                   ).status != 404:
                await asyncio.sleep(0.01)

    assert answer.status == status, answer.body


async def test_partitions_share_the_events(role, store):
    """A broker of several partitions spreads its events, and events of one key stay together."""
    await projection.write(store, "brokers", "shop/wide", {"uid": "u", "partitions": 4, "delivery": None})
    async with asyncio.timeout(10):
        while (await role.send(target="/shop/wide", ce_partitionkey="k")).status != 202:
            pass
    for number in range(5):
        await role.send(target="/shop/wide", drop=("ce-id",), ce_id=str(number), ce_partitionkey="k")

    lengths = [await store.xlen(keys.events("shop/wide", p)) for p in range(4)]
    assert sorted(lengths) == [0, 0, 0, 6]


async def test_concurrent_events_share_appends_and_are_all_stored(role, store):
    """A hundred events at once are a hundred entries, in fewer appends; the metrics say so."""
    sent = [role.send(drop=("ce-id",), ce_id=str(number)) for number in range(100)]
    answers = await asyncio.gather(*sent)

    assert {answer.status for answer in answers} == {202}
    stored = [decode(fields).attributes["id"] for _, fields in await store.xrange(KEY)]
    assert sorted(stored, key=int) == [str(number) for number in range(100)]
    metrics = role.metrics()
    assert 'clarion_ingress_events_accepted_total{broker="shop/default"} 100.0' in metrics
    assert "clarion_append_group_events_sum 100.0" in metrics
    assert "clarion_ingress_latency_seconds_count 100.0" in metrics


async def test_refusals_are_counted_by_reason(role):
    """A reason is one of few words, whatever clients send."""
    await role.send(method="GET")
    await role.send(drop=("ce-id",))

    assert 'clarion_ingress_requests_rejected_total{reason="method"} 1.0' in role.metrics()
    assert 'clarion_ingress_requests_rejected_total{reason="NotACloudEvent"} 1.0' in role.metrics()


async def test_without_its_store_the_answer_is_503_and_afterwards_202(valkey, tmp_path):
    """A killed store: 503 with Retry-After. Once it is back events are taken, and the accepted are there."""
    store = valkey.client()
    async with serving(store, tmp_path) as role:
        assert (await role.send(drop=("ce-id",), ce_id="before")).status == 202
        valkey.kill()
        answer = await role.send(drop=("ce-id",), ce_id="lost")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert b"try again" in answer.body
        valkey.start()
        async with asyncio.timeout(10):
            while (await role.send(drop=("ce-id",), ce_id="after")).status != 202:
                pass
        stored = [decode(fields).attributes["id"] for _, fields in await store.xrange(KEY)]
    await store.aclose()

    assert stored == ["before", "after"]


@pytest.mark.parametrize(("trouble", "cure", "reason"), [
    pytest.param("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", b"out of memory", id="memory is full"),
    pytest.param("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", b"read-only", id="the store is a replica"),
])
async def test_a_store_that_cannot_keep_an_event_is_503(valkey, tmp_path, trouble, cure, reason):
    """What cannot be kept is not accepted: 503, nothing written; after the cure events are taken again."""
    store = valkey.client()
    async with serving(store, tmp_path) as role:
        await store.execute_command(*trouble.split())
        answer = await role.send()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert reason in answer.body
        await store.execute_command(*cure.split())
        assert await store.xlen(KEY) == 0
        async with asyncio.timeout(10):  # the connection to a replica is made anew
            while (await role.send()).status != 202:
                pass
    await store.aclose()


async def test_a_store_that_cannot_save_is_503(valkey, tmp_path):
    """MISCONF, a disk that cannot be written: 503 and nothing written, until it can."""
    store = valkey.client()
    async with serving(store, tmp_path) as role:
        (valkey.directory / "dump.rdb").mkdir()  # what cannot be replaced by a file
        await store.config_set("save", "3600 1")
        await store.bgsave()
        while (await store.info("persistence"))["rdb_last_bgsave_status"] == "ok":
            pass
        answer = await role.send()
        assert (answer.status, b"cannot write to its disk" in answer.body) == (503, True), answer.body
        await store.config_set("stop-writes-on-bgsave-error", "no")
        assert await store.xlen(KEY) == 0
        assert (await role.send()).status == 202
    await store.aclose()


async def test_a_store_that_is_busy_is_503(valkey, tmp_path):
    """BUSY, a script that does not end: 503 and nothing written, until it is killed."""
    store = valkey.client()
    async with serving(store, tmp_path) as role:
        await store.config_set("busy-reply-threshold", 1)
        async with asyncio.TaskGroup() as tasks:
            endless = tasks.create_task(_killed(valkey.client()))
            while (answer := await role.send()).status == 202:
                pass
            assert (answer.status, b"the store is busy" in answer.body) == (503, True), answer.body
            killer = valkey.client()
            await killer.script_kill()
            await killer.aclose()
            await endless
        before = await store.xlen(KEY)
        assert (await role.send()).status == 202
        assert await store.xlen(KEY) == before + 1
    await store.aclose()


async def _killed(client):
    """Run a script without end until somebody kills it."""
    with pytest.raises(redis.exceptions.RedisError):
        await client.eval("while true do end", 0)
    await client.aclose()


async def test_a_store_that_still_loads_is_503(valkey, tmp_path):
    """LOADING, after a restart: 503 until all is read; then what was accepted is there, and nothing else."""
    store = valkey.client()
    async with serving(store, tmp_path) as role:
        assert (await role.send(drop=("ce-id",), ce_id="before")).status == 202
        await store.mset({f"filler-{number}": "x" * 4096 for number in range(100)})
        await store.bgrewriteaof()
        while (await store.info("persistence"))["aof_rewrite_in_progress"]:
            pass
        valkey.kill()
        valkey.launch("--key-load-delay", "5000", "--loading-process-events-interval-bytes", "1024")
        seen = []
        while not seen or seen[-1] != 202:
            if await _is_loading(valkey):
                seen.append((await role.send(drop=("ce-id",), ce_id="lost")).status)
            elif seen:
                seen.append((await role.send(drop=("ce-id",), ce_id="after")).status)
        assert set(seen) == {503, 202}
        stored = [decode(fields).attributes["id"] for _, fields in await store.xrange(KEY)]
    await store.aclose()

    assert stored[0] == "before"
    assert len(stored) == 1 + seen.count(202)


async def _is_loading(valkey):
    """Whether the store says that it reads its files; False too when it says nothing."""
    client = redis.Redis(unix_socket_path=str(valkey.path), retry=None)
    try:
        client.ping()
    except redis.exceptions.BusyLoadingError:
        return True
    except redis.exceptions.ConnectionError:
        return False
    finally:
        client.close()
    return False


async def test_an_event_is_answered_only_after_it_is_stored(valkey, tmp_path):
    """While the store is stopped there is no answer; when it goes on there is one, and the event is there."""
    store = valkey.client()
    async with serving(store, tmp_path) as role:
        valkey.pause()
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(role.send())
            await asyncio.wait([waiting], timeout=0.3)
            assert not waiting.done()
            valkey.resume()
        assert waiting.result().status == 202
        assert await store.xlen(KEY) == 1
    await store.aclose()


async def test_the_end_answers_what_is_in_flight(valkey, tmp_path):
    """A request that was read before the end is stored and answered; the port is closed afterwards."""
    store = valkey.client()
    async with serving(store, tmp_path) as role:
        valkey.pause()
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(role.send())
            await asyncio.wait([waiting], timeout=0.2)
            role.runtime.stopping.set()
            await asyncio.wait([waiting], timeout=0.2)
            valkey.resume()
        assert waiting.result().status == 202
    with pytest.raises(ConnectionRefusedError):
        await role.send()
    await store.aclose()
