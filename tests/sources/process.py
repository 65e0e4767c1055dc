"""The sources role as a process that can be killed."""

import contextlib
import os
import signal
import subprocess
import sys


@contextlib.contextmanager
def role_process(valkey_socket, data_dir):
    """The sources role in a process of its own; killed at the end."""
    command = [sys.executable, "-m", "eventing", "run", "sources"]
    environment = {**os.environ, "CLARION_REDIS_URL": f"unix://{valkey_socket}",
                   "CLARION_DATA_DIR": str(data_dir)}
    with (data_dir / "log").open("ab") as log, \
            subprocess.Popen(command, stdout=log, stderr=log, env=environment) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)
