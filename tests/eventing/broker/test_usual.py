"""Which answers are known by their bytes: those that say "done", and nothing else."""

import pytest

from eventing.broker.usual import UsualAnswers

USUAL = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"


def headers_of(answer):
    """The parser's, of an answer."""
    lines = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    return [tuple(line.split(b": ")) for line in lines]


def test_what_came_before_is_known():
    """Its status is, for the same bytes and for no others."""
    usual = UsualAnswers()
    assert usual.status(USUAL) == 0
    assert usual.learn(202, headers_of(USUAL), USUAL)
    assert usual.status(USUAL) == 202
    assert usual.status(USUAL + USUAL) == usual.status(USUAL[:-2]) == 0


@pytest.mark.parametrize(("status", "answer"), [
    (500, b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n"),
    (200, b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n\r\n\r\n"),
    (200, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
    (200, b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"),
    (200, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    (200, b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n"),
    (200, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: %b\r\n\r\n" % (b"x" * 1024))])
def test_anything_else_is_parsed_each_time(status, answer):
    """A failure, a body, a connection that ends, and what is long."""
    usual = UsualAnswers()
    assert not usual.learn(status, headers_of(answer), answer)
    assert usual.status(answer) == 0


def test_memory_is_bounded():
    """However many different ones there are."""
    usual = UsualAnswers()
    for number in range(1000):
        answer = b"HTTP/1.1 204 No Content\r\nx: %d\r\n\r\n" % number
        assert usual.learn(204, headers_of(answer), answer)
        assert usual.status(answer) == 204
    assert repr(usual) == f"<UsualAnswers [{1000 % 256}]>"
