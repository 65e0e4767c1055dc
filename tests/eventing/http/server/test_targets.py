"""What a request line may name: a path, or a whole URL, whose host then counts."""

import pytest


@pytest.mark.parametrize(("line", "target", "host"), [
    (b"GET /x?y HTTP/1.1", b"/x?y", b"other.example"),
    (b"GET http://a.example/x?y HTTP/1.1", b"/x?y", b"a.example"),
    (b"GET HTTP://a.example:8080 HTTP/1.1", b"/", b"a.example:8080"),
    (b"GET https://me@a.example?y=http://b HTTP/1.1", b"/?y=http://b", b"a.example"),
    (b"GET http://[::1]:80/ HTTP/1.1", b"/", b"[::1]:80"),
    (b"GET /http://a.example/ HTTP/1.1", b"/http://a.example/", b"other.example"),
    (b"OPTIONS * HTTP/1.1", b"*", b"other.example"),
])
async def test_the_authority_of_a_whole_url_counts(start, connect, line, target, host):
    """RFC 9112, section 3.2.2: a handler sees its path, its authority for Host, and no old bytes."""
    seen = []

    def handle(exchange):
        seen.append((exchange.target, exchange.header(b"host"), exchange.read is None))
        exchange.respond(200)

    wire = await connect(await start(handle))
    for _ in range(2):
        wire.send(line, b"host: other.example")
        assert (await wire.answer())[0] == 200
    assert seen == 2 * [(target, host, not line.startswith(b"GET /"))]
