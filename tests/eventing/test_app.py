"""The composition root: how a role ends."""

import subprocess
import sys

RUN = """
import sys
from eventing.app import run_role
from eventing.config import Config
sys.exit(run_role("sources", Config(data_dir=sys.argv[1]), 0, {}))
"""


def test_a_role_that_finds_no_store(tmp_path):
    """It ends for another to be started, and says why in a line."""
    (tmp_path / "run").mkdir()
    done = subprocess.run([sys.executable, "-c", RUN, tmp_path], capture_output=True, text=True, timeout=60,
                          check=False)

    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "the store is away" in said
    assert "Traceback" not in said
