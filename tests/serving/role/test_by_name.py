"""Requests go to a worker by the name of its unix socket."""

import json

APP = """
import json, os, socket

def peers(family):
    found = 0
    for number in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(number))) as copy:
                copy.getpeername()
                found += copy.family == family
        except OSError:
            pass
    return found

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = json.dumps([peers(socket.AF_INET), peers(socket.AF_UNIX), scope["client"][0]]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""


async def test_no_request_by_tcp(open_house):
    """Neither the first one, which waits for the worker, nor what comes later; who asked is told as ever."""
    async with open_house(from_zero=True) as house:
        await house.revision("a", code=APP)
        for _ in range(3):
            answer = await house.ask("a", headers=[(b"x-forwarded-for", b"192.0.2.7")])
            tcp, unix, client = json.loads(answer.body)
            assert (tcp, client) == (0, "192.0.2.7")
            assert unix


async def test_nobody_passed_it_on(house):
    """Who asks by the activator's own socket, as the dispatcher does, is told of only as it says itself."""
    await house.revision("a")
    passed_on = ((b"x-forwarded-for", b"192.0.2.7"),)
    for said, told in (((), None), (passed_on, 'for=192.0.2.7;host="a";proto=http')):
        headers = json.loads((await house.ask("a", headers=said)).body)["headers"]
        assert headers.get("forwarded") == told
