"""What the image of Knative's first Service does: greet whom TARGET names."""

import os

from starlette.types import Receive, Scope, Send


async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
    """An ASGI app; PORT is listened on for it."""
    body = f"Hello {os.environ.get('TARGET', 'World')}!\n".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})
