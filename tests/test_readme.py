"""What the README shows is executed: its commands, its function and its YAML."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from eventing.config import Config

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language):
    """The text of all fenced blocks in *language*."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands():
    """Every command behind a `$` prompt, in order, continued lines joined."""
    joined = "\n".join(blocks("console")).replace("\\\n", " ")
    return [line[2:] for line in joined.splitlines() if line.startswith("$ ")]


@pytest.fixture(scope="module")
def options():
    """The quickstart."""
    return "-f", str(ROOT / "examples" / "quickstart")


def run(command, instance, directory):
    """Exit status and output of one README command, typed into a shell; one that follows is interrupted."""
    command = command.replace("http://localhost:8080", instance.data_url)
    environment = {**os.environ, "CLARION_SERVER": instance.control_url, "NO_COLOR": "1",
                   "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=directory, env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        if command.startswith("clarion tail"):
            output = process.stdout.readline()
            process.send_signal(signal.SIGINT)
        else:
            output = ""
        output += process.stdout.read()
        return process.wait(timeout=30), output


def test_commands(instance, tmp_path, until):
    """The README's commands do what it says, in the order in which it says them."""
    hello = tmp_path / "hello"
    hello.mkdir()
    (hello / "func.py").write_text(blocks("python")[0])
    (tmp_path / "hello.yaml").write_text(blocks("yaml")[0])

    for command in commands():
        if not command.startswith(("make ", "source ")):
            status, output = run(command, instance, tmp_path)
            assert status == 0, f"{command}: {output}"
            if command.startswith("curl"):
                assert "202 Accepted" in output

    until(lambda: "2 x A1 = 25.0" in instance.clarion("logs", "price"), what="priced order")
    until(lambda: "greeting" in instance.clarion("logs", "hello"), what="greeting in the function's log")


def test_make_targets():
    """Every `make` that the README names is a target."""
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)

    named = {command.split()[1] for command in commands() if command.startswith("make ")}
    named |= set(re.findall(r"`make (\w+)`", README))

    assert named <= set(targets)


def test_every_setting_is_an_option():
    """`clarion up --help` names every setting, each with its environment variable."""
    command = [Path(sys.executable).parent / "clarion", "up", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True,
                           env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}).stdout

    missing = [name for name in Config.model_fields if f"CLARION_{name.upper()}" not in shown]

    assert missing == []


def test_map_names_every_package():
    """The README's map names every package and every top-level module."""
    packages = [path.parent for path in ROOT.glob("*/*/__init__.py")
                if path.parts[-3] in {"eventing", "sources", "serving"}]
    modules = [path for path in (ROOT / "eventing").glob("*.py") if not path.stem.startswith("__")]

    missing = [path.stem for path in [*packages, *modules] if path.stem not in README]

    assert missing == []
