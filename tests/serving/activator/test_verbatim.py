"""Which answers cross as they are, and which of them need not be parsed any more."""

import pytest

from serving.activator.verbatim import Heads

DATE = b"date: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
LENGTH = b"HTTP/1.1 200 OK\r\n" + DATE + b"content-length: 2\r\n\r\n"
CHUNKED = b"HTTP/1.1 202 Accepted\r\n" + DATE + b"transfer-encoding: chunked\r\n\r\n"
EMPTY = b"HTTP/1.1 204 No Content\r\n" + DATE + b"\r\n"
LAST = b"0\r\n\r\n"


def parsed(answer):
    """Status and headers of an *answer*."""
    status, *lines = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
    return int(status.split()[1]), [tuple(line.lower().split(b": ")) for line in lines]


def know(*answers):
    """Heads that have seen *answers*, all of which fit."""
    heads = Heads()
    for answer in answers:
        assert heads.fits(*parsed(answer), answer)
    return heads


@pytest.mark.parametrize(("seen", "answer", "status"), [
    pytest.param(LENGTH + b"ok", LENGTH + b"no", 200, id="the same head, another body"),
    pytest.param(CHUNKED + LAST, CHUNKED + LAST, 202, id="no body, in chunks"),
    pytest.param(EMPTY, EMPTY, 204, id="no body"),
    pytest.param(LENGTH + b"ok", LENGTH + b"o", 0, id="a part of the body"),
    pytest.param(LENGTH + b"ok", LENGTH + b"oky", 0, id="more than the body"),
    pytest.param(LENGTH + b"ok", LENGTH[:-4], 0, id="a part of the head"),
    pytest.param(LENGTH + b"ok", b"", 0, id="nothing"),
    pytest.param(LENGTH + b"ok", LENGTH.replace(b"200 OK", b"201 OK") + b"ok", 0, id="another head"),
    pytest.param(CHUNKED + LAST, CHUNKED + b"2\r\n", 0, id="the beginning of a chunk"),
    pytest.param(CHUNKED + LAST, CHUNKED + b"5\r\n12", 0, id="as long as the last chunk"),
    pytest.param(CHUNKED + b"2\r\nok\r\n" + LAST, CHUNKED + b"2\r\nok\r\n" + LAST, 0, id="chunks are parsed"),
    pytest.param(EMPTY, EMPTY + EMPTY, 0, id="two at once"),
])
def test_an_answer_with_a_known_head_is_whole_or_not_known(seen, answer, status):
    """A head tells how long the answer is; what is longer, shorter or in chunks is looked into."""
    assert know(seen).status(answer) == status


@pytest.mark.parametrize("answer", [
    pytest.param(LENGTH.replace(DATE, b"") + b"ok", id="no date"),
    pytest.param(LENGTH.replace(DATE, DATE + b"connection: close\r\n") + b"ok", id="for one hop"),
    pytest.param(LENGTH.replace(b"HTTP/1.1", b"HTTP/1.0") + b"ok", id="an old one"),
    pytest.param(LENGTH + b"o", id="a part"),
    pytest.param(EMPTY.replace(b"204", b"200"), id="ends with the connection"),
])
def test_what_does_not_cross_is_not_known(answer):
    """An answer that has to be written anew is written anew every time."""
    heads = Heads()
    assert not heads.fits(*parsed(answer), answer)
    assert heads.status(answer) == 0


def test_heads_are_forgotten():
    """However many heads there are, few are kept, and the last ones are known."""
    answers = [LENGTH.replace(b"date", b"x-number: %d\r\ndate" % number) + b"ok" for number in range(1000)]
    heads = know(*answers)
    assert heads.status(answers[-1]) == 200
    assert heads.status(answers[0]) == 0
