"""
`clarion` with a bug: a delivery counts as settled when it is begun, whatever becomes of it.

Only the test of the checker runs this; its arguments are those of `clarion`.
"""

import asyncio

from eventing.broker.delivery import Answer
from eventing.broker.sender import Sender
from eventing.cli import main

_send = Sender.send


def _send_and_settle(self, *message, then, **given):
    call = _send(self, *message, then=lambda _: None, **given)
    asyncio.get_running_loop().call_soon(then, Answer(202))
    return call


if __name__ == "__main__":
    Sender.send = _send_and_settle
    main()
