"""The bare app of the floors as a Service; at /port it says where its worker listens."""

import os

_PORT = os.environ["PORT"].encode()


async def app(scope: dict, receive: object, send: object) -> None:
    """Read the body and answer 202."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):  # type: ignore[operator]
        pass
    body = _PORT if scope["path"] == "/port" else b""
    await send({"type": "http.response.start", "status": 202, "headers": []})  # type: ignore[operator]
    await send({"type": "http.response.body", "body": body})  # type: ignore[operator]
