"""Knative's runtime contract, a test a clause."""

import json
import os
import threading

import pytest

HOST = "runtime.default.localhost"


def test_accepts_http_1_1(data):
    """The function is asked in HTTP/1.1."""
    assert data.see(HOST)["http"] == "1.1"


def test_environment(data):
    """PORT, K_SERVICE, K_CONFIGURATION and K_REVISION are set, beside what the revision says."""
    env = data.see(HOST)["env"]
    assert {name: env[name] for name in ("A", "K_SERVICE", "K_CONFIGURATION", "K_REVISION")} == {
        "A": "b", "K_SERVICE": "runtime", "K_CONFIGURATION": "runtime", "K_REVISION": "runtime-00001"}
    assert env["PORT"].isdecimal()


def test_host_is_the_one_asked_for(data):
    """Header Host arrives as the client sent it."""
    assert data.see("Runtime.default.localhost:99")["headers"]["host"] == "Runtime.default.localhost:99"


def test_forwarded(data):
    """Forwarded (RFC 7239) says who asked, for which host, and how; X-Forwarded-For and -Proto do, too."""
    headers = data.see(HOST)["headers"]
    assert headers["forwarded"] == f'for=127.0.0.1;host="{HOST}";proto=http'
    assert (headers["x-forwarded-for"], headers["x-forwarded-proto"]) == ("127.0.0.1", "http")


def test_forwarded_is_appended(data):
    """A client that was itself asked by somebody is named after that one."""
    headers = data.see(HOST, headers={"Forwarded": "for=10.0.0.9", "X-Forwarded-For": "10.0.0.9"})["headers"]
    assert headers["forwarded"] == f'for=10.0.0.9, for=127.0.0.1;host="{HOST}";proto=http'
    assert headers["x-forwarded-for"] == "10.0.0.9, 127.0.0.1"


def test_trace_is_passed(data):
    """A client's traceparent arrives."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert data.see(HOST, headers={"traceparent": trace})["headers"]["traceparent"] == trace


def test_stdin_is_at_its_end(data):
    """Reading standard input gives nothing, at once."""
    assert data.see(HOST)["stdin"] == ""


def test_tmp_is_writable(data):
    """/tmp is there for everyone; the function wrote a file to it before it answered."""
    assert data.see(HOST)["tmp"] == "0o777"


def test_devices(data):
    """The files that Knative promises are there."""
    assert data.see(HOST)["missing"] == []


def test_user(data):
    """A function has this machine's user: runAsUser is a feature that pods have, and not this."""
    assert data.see(HOST)["uid"] == os.getuid()


def test_output_is_in_the_log(instance):
    """What a function prints can be read by who deployed it."""
    assert "imported" in instance.clarion("logs", "runtime")


def test_failed_start_is_told(instance, api, until):
    """A function that does not import makes its revision failed, with its words."""
    (instance.folder / "broken").mkdir()
    (instance.folder / "broken" / "func.py").write_text("raise RuntimeError('no such model')")
    (instance.folder / "broken.yaml").write_text(
        "{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: broken}, "
        "spec: {template: {spec: {containers: [{image: 'func://./broken'}]}}}}")
    assert instance.run("apply", "-f", str(instance.folder / "broken.yaml")).returncode != 0

    def told():
        found = api.get("revisions/broken-00001")["status"].get("conditions", [])
        return next((each for each in found if (each["type"], each["status"]) == ("Ready", "False")), None)

    assert "no such model" in until(told, what="failed revision")["message"]
    assert "no such model" in instance.clarion("logs", "broken")


def test_sigterm_then_sigkill(instance, apply, data, until):
    """Who is to go is told by SIGTERM, and killed when the revision's timeout is over."""
    apply("{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: stubborn}, "
          "spec: {template: {spec: {timeoutSeconds: 1, containers: [{image: 'func://./stubborn', "
          "command: [python3, func.py]}]}}}}")
    assert data.ask("stubborn.default.localhost") == (200, "ok")
    instance.clarion("delete", "service", "stubborn")

    log = instance.data_dir / "logs" / "default" / "stubborn-00001.log"
    until(lambda: "heard SIGTERM" in log.read_text(), what="SIGTERM")
    until(lambda: "it did not end within 1 s and is killed" in log.read_text(), what="SIGKILL")
    assert "it did not end within 1 s and is killed" in instance.clarion("logs", "stubborn")  # for an hour
    with pytest.raises(AssertionError, match="there is no Service default/stub "):
        instance.clarion("logs", "stub")
    line = next(line for line in log.read_text().splitlines() if "heard SIGTERM" in line)
    pid = int(line.split()[-1])
    until(lambda: not os.path.exists(f"/proc/{pid}"), what="end")  # noqa: PTH110  no disk is behind it


def test_cold_requests_are_held(apply, data, api, until):
    """Requests that come while no instance runs wait for one, and all are answered."""
    apply("{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: cold}, spec: {template: "
          "{metadata: {annotations: {autoscaling.knative.dev/window: 6s}}, spec: "
          "{containers: [{image: registry.example.com/test/runtime}]}}}}")

    def at_zero():
        return api.get("revisions/cold-00001")["status"].get("actualReplicas") == 0

    until(at_zero, what="zero workers", timeout_s=60)
    answers = []
    asking = [threading.Thread(target=lambda: answers.append(data.ask("cold.default.localhost")))
              for _ in range(20)]
    for each in asking:
        each.start()
    for each in asking:
        each.join()

    assert [status for status, _ in answers] == [200] * 20
    assert {json.loads(body)["env"]["K_REVISION"] for _, body in answers} == {"cold-00001"}
