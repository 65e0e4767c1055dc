"""The demo tells the whole story by itself."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

CLARION = Path(sys.executable).with_name("clarion")


def test_demo(tmp_path):
    """It wakes functions from zero, sees the reply, the ping and zero again, exits 0 and leaves nothing."""
    done = subprocess.run([CLARION, "demo"], capture_output=True, text=True, check=False, timeout=100,
                          env={**os.environ, "NO_COLOR": "1"}, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    told = iter(done.stdout.splitlines())
    for step in (r"zero workers", r"published order\.placed", r"price woke from zero and ran in \d+ ms",
                 r"order\.priced \{.*\"total\": 25\.0", r"log woke for it", r"dev\.knative\.sources\.ping",
                 r"zero workers again", r"Done in"):
        assert any(re.search(step, line) for line in told), f"{step} is missing in {done.stdout}"
    assert not list(tmp_path.iterdir())


def test_killed(tmp_path, until):
    """A demo that is killed takes its instance along."""
    def started():
        found = list(tmp_path.glob("clarion-demo-*/data/run/clarion.json"))
        return json.loads(found[0].read_text())["pid"] if found else None

    demo = subprocess.Popen([CLARION, "demo"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                            env={**os.environ, "TMPDIR": str(tmp_path)})
    pid = until(started, what="the instance of the demo")

    demo.kill()
    demo.wait()

    until(lambda: not Path(f"/proc/{pid}").exists(), what="the end of the instance")
