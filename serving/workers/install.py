"""
The process that builds one environment: `python -m serving.workers.install PLACE ORDER`.

    lock PLACE.lock -> there already? -> a venv over Clarion's own -> pip -> PLACE/complete

ORDER is JSON: {"lines": [requirement, ..], "file": path of a requirements.txt or null}; the working directory
is the folder that they are about. What goes on is printed, for the function's author; the exit status is
pip's. Whoever starts it bounds its time.
"""

import fcntl
import json
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib import metadata, util
from pathlib import Path

from serving.workers.environment import COMPLETE, site_folders

_OVERLAY = "_clarion.pth"
# pip's default of five retries waits a minute for a network that is not there.
_PIP_RETRIES = 2


def main(place: Path, order: dict[str, object]) -> int:
    """Build *place*; the exit status. What goes on is printed."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # `clarion func run` may want it, too
        if (place / COMPLETE).exists():
            return 0
        if util.find_spec("pip") is None:
            sys.stdout.write(f"ERROR: there is no pip beside Clarion in {sys.prefix}; install it: "
                             f"{sys.executable} -m ensurepip\n")
            return 1
        shutil.rmtree(place, ignore_errors=True)
        _make(place)
        status = _install(place, order)
        if status == 0:
            (place / COMPLETE).touch()
        else:
            shutil.rmtree(place, ignore_errors=True)
        return status


def _make(place: Path) -> None:
    """An empty environment that sees Clarion's own behind what will be in it."""
    venv.create(place, symlinks=True)
    home = sysconfig.get_path("purelib", vars={"base": str(place), "platbase": str(place)})
    lines = [f"import site; site.addsitedir({folder!r})\n" for folder in site_folders()]
    (Path(home) / _OVERLAY).write_text("".join(lines))


def _install(place: Path, order: dict[str, object]) -> int:
    lines, file = order["lines"], order["file"]
    asked, bounds = place / "requirements.txt", place / "constraints.txt"
    assert isinstance(lines, list)
    asked.write_text("".join(f"{line}\n" for line in lines))
    needed = [line for line in metadata.requires("clarion") or () if "extra ==" not in line]
    bounds.write_text("".join(f"{line}\n" for line in needed))
    command = [str(place / "bin" / "python"), "-m", "pip", "install", "--no-input",
               "--disable-pip-version-check", "--progress-bar", "off", "--no-warn-script-location",
               "--retries", str(_PIP_RETRIES), "-r", str(asked), "-c", str(bounds)]
    if isinstance(file, str):
        command += ["-r", file]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), json.loads(sys.argv[2])))
