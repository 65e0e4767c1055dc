"""Ages, durations, tables and descriptions: text from values."""

import contextlib
import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from eventing.cli import output
from eventing.cli.description import describe
from eventing.errors import UsageError

NOW = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(("timestamp", "age"), [
    ("2026-01-02T12:00:00Z", "0s"), ("2026-01-02T11:58:01Z", "119s"), ("2026-01-02T11:57:30Z", "2m30s"),
    ("2026-01-02T11:57:00Z", "3m"), ("2026-01-02T11:00:00Z", "60m"), ("2026-01-02T02:00:00Z", "10h"),
    ("2025-12-01T12:00:00Z", "32d"), (None, "<unknown>"), ("2026-01-02T13:00:00Z", "0s"),
])
def test_age(timestamp, age):
    """Ages as kubectl prints them; a clock ahead of ours is no negative age."""
    assert output.age(timestamp, NOW) == age


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("1.5m", 90), ("2h", 7200), ("1d", 86400)])
def test_duration(text, seconds):
    """A number and a unit."""
    assert output.duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "5 m", "-1s", "1w", "PT5S"])
def test_no_duration(text):
    """Anything else is told with an example."""
    with pytest.raises(UsageError, match="such as 30s"):
        output.duration_s(text)


def test_table():
    """Columns line up, and no line ends in spaces."""
    assert output.table(["NAME", "READY"], [["a-long-name", "True"], ["b", ""]]) == (
        "NAME          READY\na-long-name   True\nb\n")


COLUMNS = [["NAME", "orders-of-the-shop"], ["ID", "0123456789"], ["URI", "http://orders.shop/"],
           ["AGE", "3d"], ["REASON", ""]]


@pytest.mark.parametrize(("width", "row"), [
    (80, ["orders-of-the-shop", "0123456789", "http://orders.shop/", "3d", ""]),
    (61, ["orders-of-the-shop", "0123456789", "http://orders.shop/", "3d"]),
    (50, ["orders-of-the-shop", "http://orders.shop/", "3d"]),
    (40, ["orders-of-the-shop", "http://order…", "3d"]),
    (30, ["orders-of-the-shop", "3d"]),
    (10, ["orders-of-the-shop", "3d"]),
])
def test_a_table_on_a_narrow_terminal(width, row):
    """What is empty goes, then what is spare; then cells are cut, then columns go; the name stays whole."""
    assert [cell for _, cell in output.narrowed(COLUMNS, width, spare={"ID"})] == row


def test_names_and_their_namespaces_stay_whole():
    """A person types both again."""
    columns = [["NAMESPACE", "a-long-namespace"], *COLUMNS]

    assert output.narrowed(columns, 20)[:2] == columns[:2]


def test_describe():
    """Ready first, messages below their condition with all their lines, events oldest first."""
    item = {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "a", "uid": "u"}, "spec": {"x": 1},
            "status": {"conditions": [
                {"type": "Other", "status": "True"},
                {"type": "Ready", "status": "False", "reason": "Broken", "message": "one\ntwo"}]}}
    events = [{"metadata": {}, "reason": reason, "message": "m", "lastTimestamp": f"2026-01-0{day}T00:00:00Z"}
              for day, reason in ((2, "Later"), (1, "Earlier"))]

    text = describe(item, events)

    assert "      one\n      two\n" in text
    assert text.index("Ready") < text.index("Other")
    assert text.index("Earlier") < text.index("Later")


@pytest.mark.parametrize(("text", "shown"), [
    ("plain\ttext\r\nä\u2603\n", "plain\ttext\r\nä\u2603\n"),
    ("\x1b[1mbold\x1b[0m \x1b[38;5;9mred\x1b[0m", "\x1b[1mbold\x1b[0m \x1b[38;5;9mred\x1b[0m"),
    ("a\x1b[2J\x07b", "a\\x1b[2J\\x07b"),
    ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
    ("over\rwritten\x08\x7f", "over\\rwritten\\x08\\x7f"),
    ("\x9b2J \u202eback", "\\x9b2J \\u202eback"),
])
def test_visible(text, shown):
    """A terminal is shown what it would have obeyed; lines, tabs and colours stay."""
    assert output.visible(text) == shown


@pytest.mark.parametrize("is_terminal", [True, False])
def test_what_goes_to_a_terminal_is_visible(is_terminal):
    """Whatever a command prints, a line or several; a file or a pipe gets what there is."""
    program = ("import sys\nfrom eventing.cli import output\noutput.guard()\n"
               "sys.stdout.write('\\x1b[2Ja\\n')\nsys.stdout.writelines(['\\x07b\\n'])\nprint('é\\x1b[1mc')")
    mine, theirs = os.openpty() if is_terminal else os.pipe()
    subprocess.run([sys.executable, "-c", program], stdout=theirs, check=True,
                   env={**os.environ, "PYTHONIOENCODING": "utf-8"})
    os.close(theirs)
    got = b""
    with contextlib.suppress(OSError):  # how a terminal says that nobody writes to it any more
        while chunk := os.read(mine, 4096):
            got += chunk
    os.close(mine)

    expected = b"\\x1b[2Ja\n\\x07b\n" if is_terminal else b"\x1b[2Ja\n\x07b\n"
    assert got.replace(b"\r\n", b"\n") == expected + "é\x1b[1mc\n".encode()
