"""
Subscribers that nobody wants beside him, in a process of their own: what one of them does is the path.

    /slow      answers after a second
    /failing   500, always
    /hanging   never answers
"""

import asyncio
import sys

import uvloop

from eventing.http import server
from eventing.http.exchange import Exchange

KINDS = ("slow", "failing", "hanging")
_SLOW_S = 1.0


def _handle(exchange: Exchange) -> None:
    exchange.collect(1 << 24, lambda _body: _answer(exchange))


def _answer(exchange: Exchange) -> None:
    if exchange.target == b"/slow":
        asyncio.get_running_loop().call_later(_SLOW_S, exchange.respond, 202)
    elif exchange.target == b"/failing":
        exchange.respond(500)


async def _serve(port: int) -> None:
    await server.serve(_handle, port=port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
