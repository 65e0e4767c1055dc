"""`clarion cesql`, as people and scripts run it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from eventing.cli.cesql import answer

CLARION = Path(sys.executable).with_name("clarion")
EVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "order.placed", "amount": "12", "count": 3,
         "flag": True, "subject": None, "data": {"x": [1]}}


def clarion(*arguments, stdin=b""):
    """A finished `clarion cesql`."""
    return subprocess.run([CLARION, "cesql", *arguments], input=stdin, capture_output=True, check=False,
                          timeout=30)


def ask(expression, event=EVENT):
    """Answer to one line of a batch."""
    return json.loads(answer(json.dumps({"expression": expression, "event": event}).encode()))


@pytest.mark.parametrize(("expression", "value", "error"), [
    ("type LIKE 'order.%' AND INT(amount) > 10", True, None),
    ("count + 1", 4, None),
    ("flag", True, None),
    ("UPPER(type)", "ORDER.PLACED", None),
    ("EXISTS subject", False, None),
    ("EXISTS data", False, None),
    ("1 +", False, "parse"),
    ("(" * 5000 + "1" + ")" * 5000, False, "parse"),
    ("1 / 0", 0, "math"),
    ("-type", 0, "cast"),
    ("missing = 1", False, "missingAttribute"),
    ("NOPE()", False, "missingFunction"),
    ("LEFT('abc', -1)", "abc", "functionEvaluation"),
])
def test_a_line_is_answered_with_value_and_error(expression, value, error):
    """An answer has two members: what the expression is worth, and the kind of error or null."""
    assert ask(expression) == {"value": value, "error": error}


@pytest.mark.parametrize("line", [
    b"", b"nonsense", b"[]", b"{}", b'{"expression": 1}', b'{"expression": "1", "event": []}',
    b'{"expression": "1", "event": {"x": 1.5}}', b'{"expression": "1", "event": {"x": 9999999999}}',
    b'{"expression": "1", "event": {"x": {}}}', b"\xff",
])
def test_a_bad_line_is_answered_too(line):
    """Whatever is no line of a batch gets `generic`, and ends nothing."""
    assert json.loads(answer(line)) == {"value": False, "error": "generic"}


def test_an_event_is_optional():
    """Without one there are no attributes."""
    assert json.loads(answer(b'{"expression": "1 + 1"}')) == {"value": 2, "error": None}


def test_a_batch_is_answered_line_by_line():
    """As many answers as lines, in their order, bad ones and the last one without line break included."""
    lines = [json.dumps({"expression": f"{number} + count", "event": EVENT}) for number in range(500)]
    lines += ["bad", "x" * 3_000_000, '{"expression": "1"}']
    done = clarion("--batch", stdin="\n".join(lines).encode())

    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["value"] for each in answers[:500]] == [number + 3 for number in range(500)]
    assert [each["error"] for each in answers[500:]] == ["generic", "generic", None]
    assert (done.returncode, done.stderr) == (0, b"")


def test_who_asks_may_wait_for_each_answer():
    """An answer comes before the next line is sent."""
    command = [CLARION, "cesql", "--batch"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as asked:
        for number in range(3):
            asked.stdin.write(b'{"expression": "%d"}\n' % number)
            asked.stdin.flush()
            assert json.loads(asked.stdout.readline())["value"] == number
        asked.stdin.close()
        assert asked.wait(10) == 0


def test_one_expression(tmp_path):
    """Its value is printed as a person reads it, from a file or from stdin."""
    path = tmp_path / "event.json"
    path.write_text(json.dumps(EVENT))

    assert clarion("flag AND count = 3", "--event", str(path)).stdout == b"true\n"
    assert clarion("UPPER(type)", "--event", "-", stdin=path.read_bytes()).stdout == b"ORDER.PLACED\n"
    assert clarion("40 + 2").stdout == b"42\n"


@pytest.mark.parametrize(("arguments", "code", "says"), [
    (["1 / 0"], 1, b"math: "),
    (["1 +"], 1, b"parse: "),
    (["missing"], 1, b"missingAttribute: "),
    ([], 2, b"give an expression"),
    (["1", "--batch"], 2, b"give an expression"),
    (["1", "--event", "/nowhere/x.json"], 2, b"No such file"),
    (["1", "--event", "-"], 2, b"--event -: "),
])
def test_what_goes_wrong_is_one_line(arguments, code, says):
    """An error of the expression is exit code 1, one of the command line 2."""
    done = clarion(*arguments, stdin=b"[1]")

    assert (done.returncode, says in done.stderr, done.stderr.count(b"\n")) == (code, True, 1), done.stderr


def test_it_imports_little():
    """A script that asks often does not wait for libraries that are not needed."""
    program = "import sys\nimport eventing.cli.cesql\nprint(' '.join(sys.modules))"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert not {"pydantic", "redis", "asyncio", "yaml", "http.client"} & set(done.stdout.split())
