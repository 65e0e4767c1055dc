"""All commands alike: their help, their failures, their speed of import."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from eventing.cli import COMMANDS

CLARION = Path(sys.executable).with_name("clarion")


def clarion(*arguments, **environment):
    """A finished command, far from any instance."""
    return subprocess.run([CLARION, *arguments], capture_output=True, text=True, check=False, timeout=30,
                          env={**os.environ, "CLARION_SERVER": "http://127.0.0.1:1", "COLUMNS": "120",
                               **environment})


@pytest.mark.parametrize("name", COMMANDS)
def test_help(name):
    """Every command's help has an example, has the line of `clarion --help`, and exits with 0."""
    done = clarion(name, "--help")

    module = importlib.import_module(f"eventing.cli.{COMMANDS[name][0]}")
    assert done.returncode == 0
    assert f"Example: clarion {name}" in " ".join(done.stdout.replace("EDITOR=nano ", "").split())
    assert COMMANDS[name][1] in done.stdout
    assert module.app.registered_commands or module.app.registered_groups


def test_overview():
    """Without arguments: all commands, each with its line."""
    done = clarion()

    assert done.returncode == 0
    for name, (_, line) in COMMANDS.items():
        assert name in done.stdout
        assert line in done.stdout


def test_help_imports_no_library():
    """`clarion --help` imports neither settings nor clients nor servers: it is there at once."""
    program = ("import sys\nsys.argv = ['clarion', '--help']\nfrom eventing.cli import main\n"
               "try:\n    main()\nexcept SystemExit:\n    pass\nsys.stderr.write(' '.join(sys.modules))")

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert not {"pydantic", "redis", "fastapi", "uvicorn", "yaml", "http.client"} & set(done.stderr.split())


@pytest.mark.parametrize("arguments", [
    pytest.param(["nonsense"], id="no such command"),
    pytest.param(["get"], id="an argument is missing"),
    pytest.param(["get", "brokers", "-o", "xml"], id="no such output"),
    pytest.param(["get", "brokers", "--server", "localhost:80"], id="no URL"),
    pytest.param(["apply"], id="no file"),
    pytest.param(["apply", "-f", "/nowhere.yaml"], id="a file that is not there"),
    pytest.param(["delete", "broker"], id="nothing to delete"),
    pytest.param(["send"], id="no type"),
    pytest.param(["send", "--type", "t", "--attr", "x"], id="an attribute without a value"),
    pytest.param(["send", "--type", "t", "--data", "@/nowhere"], id="data that is not there"),
    pytest.param(["tail", "--since", "yesterday"], id="no duration"),
    pytest.param(["run", "nobody"], id="no such role"),
    pytest.param(["run", "ingress", "--data-dir", "no-instance-here"], id="a role without a Redis"),
    pytest.param(["run", "ingress", "--redis-url", "redis://127.0.0.1:1"], id="a role whose Redis is away"),
    pytest.param(["demo", "-f", "/nowhere"], id="no such story"),
])
def test_wrong_usage(arguments):
    """What cannot work: one line on stderr, nothing on stdout, exit code 2."""
    done = clarion(*arguments)

    assert done.returncode == 2
    assert done.stderr.startswith("clarion: ")
    assert done.stderr.count("\n") == 1
    assert not done.stdout


@pytest.mark.parametrize("arguments", [
    ["get", "brokers"], ["describe", "broker", "default"], ["delete", "broker", "default"], ["tail"],
    ["logs", "price"], ["send", "--type", "t"], ["edit", "broker", "default"],
])
def test_nobody_answers(arguments):
    """Without a server: one line that says where, and what to do; exit code 1."""
    done = clarion(*arguments)

    assert done.returncode == 1
    assert done.stderr == ("clarion: cannot reach http://127.0.0.1:1: Connection refused; "
                           "is `clarion up` running? --server names another one\n")


def test_version():
    """Ours, and what we stand on."""
    assert clarion("version").stdout.splitlines()[0].startswith("clarion ")


def test_doctor(tmp_path):
    """A line for each check; it measures an fsync where the data will live."""
    done = clarion("doctor", "--data-dir", str(tmp_path))

    assert [line.split()[1] for line in done.stdout.splitlines()] == [
        "python", "valkey", "ports", "names", "disk", "volumes"]
    assert f"an fsync in {tmp_path} takes" in done.stdout


def test_doctor_beside_an_instance(tmp_path):
    """The ports of the instance that runs on the same directory are no trouble."""
    (tmp_path / "run").mkdir()
    record = {"pid": os.getpid(), "port": 8080, "control_port": 8001}
    (tmp_path / "run" / "clarion.json").write_text(json.dumps(record))

    done = clarion("doctor", "--data-dir", str(tmp_path))

    assert "ports 8080 and 8001 are used by the Clarion that runs here" in done.stdout


def test_version_option():
    """`--version` says which one this is."""
    done = clarion("--version")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == clarion("version").stdout.splitlines()[0] + "\n"


@pytest.mark.parametrize(("arguments", "line"), [
    (["get", "brokers", "--nonsense"], "clarion: no such option: --nonsense; see clarion get --help\n"),
    (["send"], "clarion: missing option '--type' / '-t'; see clarion send --help\n"),
])
def test_wrong_option(arguments, line):
    """What is wrong with an option, and where its command is explained, are two clauses."""
    assert clarion(*arguments).stderr == line
