"""kcat, a producer of Kafka records that is not ours: from PATH, else from Debian's package."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.servers import provision


def find():
    """Path of the program, and what it needs in its environment; raises provision.Missing."""
    if (program := shutil.which("kcat") or shutil.which("kafkacat")) is not None:
        return Path(program), {}
    root = provision.cache("kcat") / "root"
    provision.unpack("kcat", root, lambda unpacked, _: (unpacked / "usr/bin/kcat").exists())
    libraries = sorted({str(library.parent) for library in root.glob("usr/lib/**/*.so*")})
    return root / "usr/bin/kcat", {"LD_LIBRARY_PATH": os.pathsep.join(libraries)}


def produce(server, topic, text, *options):
    """Write *text* to a topic with `kcat -P`: a record a line, unless *options* say otherwise."""
    program, environment = find()
    subprocess.run([program, "-P", "-b", server, "-t", topic, *options], input=text, text=True, check=True,
                   env={**os.environ, **environment})
