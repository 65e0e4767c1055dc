"""A server for what other processes send to a test: in threads, so that the test may wait as it likes."""

import contextlib
import http.server
import json
import threading
from dataclasses import dataclass

# As many connections at once as dispatchers and sources open.
_BACKLOG = 512
_LOOK_S = 0.05  # how long a shutdown may wait


@dataclass
class Request:
    """What came."""

    path: str
    headers: dict  # by lower-case name
    body: bytes

    @property
    def id(self):
        """The event's id, in either mode."""
        return self.headers.get("ce-id") or json.loads(self.body)["id"]


@contextlib.contextmanager
def listening(answer, *, port=0, backlog=_BACKLOG):
    """
    Take POSTs at a port of loopback; gives the server, with its `url` and `server_port`.

    `answer(request)`, called in the connection's thread, returns a status, or (status, headers, body).
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answered = answer(Request(self.path, headers, body))
            status, more, content = answered if isinstance(answered, tuple) else (answered, {}, b"")
            self.send_response_only(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            """Say nothing."""

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = backlog
        url = ""

    with Server(("127.0.0.1", port), Handler) as server:
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(_LOOK_S,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
