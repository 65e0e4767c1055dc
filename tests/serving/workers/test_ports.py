"""Ports of programs that listen for themselves."""

import socket
from pathlib import Path

from serving.workers import ports


def test_nobody_is_given_it_by_chance():
    """A port is free, and none of those that the kernel gives to whoever asks for any."""
    least = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    taken = [ports.bound() for _ in range(50)]
    numbers = [each.getsockname()[1] for each in taken]
    for each in taken:
        each.close()
    assert len(set(numbers)) == len(numbers)
    assert all(20_000 <= number < least for number in numbers) or least < 21_000
    with socket.create_server(("127.0.0.1", numbers[0])) as server:
        assert server.getsockname()[1] == numbers[0]
