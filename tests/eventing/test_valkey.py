"""The embedded Valkey through crashes, and the judgement of other people's Redis."""

import subprocess
from pathlib import Path

import pytest
import redis

from eventing import instance, valkey
from eventing.config import Config
from eventing.errors import UsageError


@pytest.fixture
def place(tmp_path):
    """Settings with a prepared data directory."""
    config = Config(data_dir=tmp_path)
    instance.prepare(config)
    return config


class Running:
    """The embedded server as a process."""

    def __init__(self, config):
        self.process = subprocess.Popen(valkey.command(config, valkey.find_binary()))
        try:
            valkey.wait_until_ready(config, self.process.poll)
        except UsageError:
            self.process.wait()
            raise
        self.client = redis.Redis.from_url(config.store_url)

    def kill(self):
        self.client.close()
        self.process.kill()
        self.process.wait()


def newest_log(config):
    """The append-only file that is written now."""
    return next((Path(config.data_dir) / "valkey" / "appendonlydir").glob("*.incr.aof"))


def test_settings(place):
    """Every write is synced, nothing is evicted, memory has a limit, and no port is open."""
    server = Running(place)

    settings = server.client.config_get()

    server.kill()
    wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction", "save": "",
              "port": "0"}
    assert {name: settings[name] for name in wanted} == wanted
    assert int(settings["maxmemory"]) > 0


def test_killed_in_the_middle_of_a_write(place):
    """A log whose last write was cut off loads; everything that was acknowledged is there."""
    server = Running(place)
    server.client.set("kept", "1")
    server.client.set("cut", "x" * 1000)
    server.kill()
    log = newest_log(place)
    log.write_bytes(log.read_bytes()[:-500])

    server = Running(place)

    found = server.client.mget("kept", "cut")
    server.kill()
    assert found == [b"1", None]


def test_damaged_in_the_middle(place):
    """A log that no crash explains is not guessed at: the start fails with the server's own words."""
    server = Running(place)
    for number in range(10):
        server.client.set(f"key{number}", "x" * 100)
    server.kill()
    log = newest_log(place)
    content = bytearray(log.read_bytes())
    content[300:330] = b"\xff" * 30
    log.write_bytes(content)

    with pytest.raises(UsageError, match=r"embedded Valkey ended with 1 as it started: .*Bad file format"):
        Running(place)


def test_own_server_that_syncs_always(valkey_socket):
    """Nothing to say."""
    with redis.Redis(unix_socket_path=str(valkey_socket)) as client:
        client.config_set("maxmemory-policy", "noeviction")

    assert valkey.check_own(f"unix://{valkey_socket}") == ""


@pytest.mark.parametrize(("setting", "value", "words"), [
    ("appendfsync", "everysec", "last second of accepted events"),
    ("appendonly", "no", "everything since its last snapshot"),
    ("maxmemory-policy", "allkeys-lru", "evicts keys"),
])
def test_own_server_that_may_lose(valkey_socket, setting, value, words):
    """What a crash or a full memory could cost, and the command that mends it."""
    with redis.Redis(unix_socket_path=str(valkey_socket)) as client:
        before = client.config_get(setting)[setting]
        client.config_set(setting, value)
        try:
            warning = valkey.check_own(f"unix://{valkey_socket}")
        finally:
            client.config_set(setting, before)

    assert words in warning
    assert f"CONFIG SET {setting} " in warning


@pytest.mark.parametrize(("info", "is_fine"), [
    ({"redis_version": "6.2.14"}, False), ({"redis_version": "7.0.0"}, True),
    ({"redis_version": "7.2.4", "valkey_version": "8.0.1"}, True),
    ({"redis_version": "10.0.0"}, True),
])
def test_versions(info, is_fine):
    """Redis from 7.0 and every Valkey will do; an older one is named."""
    if is_fine:
        valkey.check_version(info)
        return
    with pytest.raises(UsageError, match=r"Redis 6\.2\.14 is too old"):
        valkey.check_version(info)


def test_password_is_not_printed():
    """A URL's password stays out of messages."""
    with pytest.raises(UsageError) as caught:
        valkey.check_own("redis://me:secret@127.0.0.1:1/0")

    assert "secret" not in str(caught.value)
    assert "127.0.0.1:1" in str(caught.value)
