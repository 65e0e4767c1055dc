"""
A heartbeat: says every few seconds how busy this machine is. Plain Python, and nothing of Clarion's.

    K_SINK           where its events go (CloudEvents over HTTP, binary mode)
    K_CE_OVERRIDES   {"extensions": {..}}, which go into every event
    EVERY_S          seconds between two beats
"""

import json
import os
import signal
import sys
import time
import urllib.request
import uuid


def send(type_: str, data: dict[str, object]) -> None:
    """POST one event; what the sink does not take is told, and the next beat tries again."""
    extensions = json.loads(os.environ.get("K_CE_OVERRIDES") or "{}").get("extensions", {})
    attributes = {"specversion": "1.0", "id": str(uuid.uuid4()), "type": type_,
                  "source": f"/{os.uname().nodename}", **extensions}
    headers = {f"ce-{name}": value for name, value in attributes.items()}
    request = urllib.request.Request(os.environ["K_SINK"], json.dumps(data).encode(),
                                     {**headers, "content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10):
            print(f"{type_} sent", flush=True)
    except OSError as error:
        print(f"{type_} not sent: {error}", flush=True)


def leave(_signal: int, _frame: object) -> None:
    """The last word, when the program is told to end."""
    send("machine.leaves", {"pid": os.getpid()})
    sys.exit(0)


signal.signal(signal.SIGTERM, leave)
beat = 0
while True:
    beat += 1
    send("machine.heartbeat", {"beat": beat, "pid": os.getpid(), "load": os.getloadavg()[0]})
    time.sleep(float(os.environ.get("EVERY_S", "5")))
