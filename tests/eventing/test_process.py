"""What a process asks of the kernel."""

import ctypes
import os
import platform
import struct

import pytest

from eventing.process import run_when_woken

GETATTR = {"x86_64": 315, "aarch64": 275}
RELEASE = tuple(map(int, platform.release().split(".")[:2]))


def policy_nice_slice():
    """As the kernel has them for this thread: policy, nice, nanoseconds (0: as everybody)."""
    told = ctypes.create_string_buffer(48)
    assert ctypes.CDLL(None).syscall(GETATTR[platform.machine()], 0, told, len(told), 0) == 0
    _, policy, _, nice, _, slice_ns = struct.unpack_from("=IIQiIQ", told)
    return policy, nice, slice_ns


def in_a_child(ask):
    """What *ask* returns in a process of its own."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writing, repr(ask()).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    try:
        return eval(os.read(reading, 1024))
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.skipif(RELEASE < (6, 12), reason="Linux has no slices of one's own before 6.12")
def test_who_asks_runs_when_woken_and_its_children_do_not():
    """The slice is short, policy and nice are as before, and a child is like everybody."""
    def ask():
        os.nice(1)
        before = policy_nice_slice()
        run_when_woken()
        return before, policy_nice_slice(), in_a_child(policy_nice_slice)

    before, asked, child = in_a_child(ask)

    assert asked == (*before[:2], 100_000)
    assert child == before
