import re

import pytest

from serving.workers import logs
from serving.workers.logs import Output


@pytest.fixture
def file(tmp_path):
    """Where a revision's log will be; its folder is not there yet."""
    return logs.path(tmp_path, "shop", "hello-00001")


def texts(file):
    """What was printed, without time and worker."""
    return [line.split(b" ", 2)[2] for line in logs.read(file, 10**6)]


def test_lines(file):
    """Each line has its time and worker; pieces of a line wait for its end."""
    output = Output(file, "hello-00001-abc")
    output.feed(b"one\ntw")
    assert texts(file) == [b"one"]
    output.feed(b"o\r\n\n\xff")
    output.close()
    assert texts(file) == [b"one", b"two", b"", b"\xff"]
    assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z hello-00001-abc one", logs.read(file, 4)[0])
    assert file.name == "hello-00001.log"


def test_notes(file):
    """What we say has time and worker on each line, too."""
    Output(file, "w").note("no package:\n  pip says why")
    assert [line.split(b" ", 1)[1] for line in logs.read(file, 9)] == [b"w no package:", b"w   pip says why"]


def test_tail(file):
    """The last lines are kept for whoever asks why."""
    output = Output(file, "w")
    output.feed(b"".join(b"%d\n" % number for number in range(50)))
    assert output.tail().splitlines() == [str(number) for number in range(30, 50)]


@pytest.mark.parametrize("chunks", [1, 7])
def test_long_lines_are_cut(file, chunks):
    """A line without end is cut, complete, and takes no more memory than its pieces."""
    data = b"x" * (logs.LINE_BYTES * 3 + 5) + b"\nlast\n"
    output = Output(file, "w")
    for start in range(0, len(data), len(data) // chunks + 1):
        output.feed(data[start : start + len(data) // chunks + 1])
    found = texts(file)
    assert b"".join(found[:-1]) == data[:-6]
    assert max(map(len, found)) == logs.LINE_BYTES
    assert found[-1] == b"last"


def test_rotation(file):
    """A revision's logs have a bounded size, the newest lines are kept, and read in order."""
    output = Output(file, "w")
    line = b"x" * 1000
    for number in range(5000):
        output.feed(b"%d %b\n" % (number, line))
    sizes = sorted(path.name for path in file.parent.iterdir())
    assert sizes == ["hello-00001.log", "hello-00001.log.1", "hello-00001.log.2"]
    assert sum(path.stat().st_size for path in file.parent.iterdir()) <= logs.KEPT_BYTES + 2000
    numbers = [int(text.split()[0]) for text in texts(file)]
    assert numbers == list(range(numbers[0], 5000))
    assert [text.split()[0] for text in texts(file)[-2:]] == [b"4998", b"4999"]


def test_a_disk_that_refuses(file):
    """Lines that cannot be written are lost, and nothing else happens."""
    file.parent.parent.mkdir(parents=True)
    file.parent.write_text("in the way")
    output = Output(file, "w")
    output.feed(b"one\n")
    output.feed(b"two\n")
    assert output.tail() == "one\ntwo"
