"""apply, get, describe, edit, delete against a real instance; and what is sent and followed there."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

CLARION = Path(sys.executable).with_name("clarion")

OBJECTS = """
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: audit, labels: {team: shop}}
spec:
  broker: default
  filter: {attributes: {type: order.placed}}
  subscriber: {uri: "http://127.0.0.1:9/"}
---
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: default}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: blue, size: "1"}
"""


@pytest.fixture
def applied(instance, tmp_path):
    """The file of OBJECTS, applied; deleted afterwards."""
    path = tmp_path / "objects.yaml"
    path.write_text(OBJECTS)
    instance.clarion("apply", "-f", str(path))
    yield path
    instance.run("delete", "-f", str(path), "--ignore-not-found")


@contextlib.contextmanager
def following(instance, *arguments):
    """Lines of a command that goes on until Ctrl-C, which is no failure of it."""
    environment = {**os.environ, "CLARION_SERVER": instance.control_url, "NO_COLOR": "1"}
    process = subprocess.Popen([CLARION, *arguments], stdout=subprocess.PIPE, text=True, env=environment)
    with process:
        try:
            yield process.stdout
        except BaseException:
            process.kill()
            raise
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    assert process.returncode == 0


def test_apply_says_what_it_did(instance, applied):
    """In an order that works: created, then unchanged, then configured for what the file changed."""
    instance.clarion("delete", "-f", str(applied))
    assert instance.clarion("apply", "-f", str(applied)) == (
        "configmap/settings created\nbroker/default created\ntrigger/audit created\n")
    assert "changed" not in instance.clarion("apply", "-f", str(applied)).replace("unchanged", "")

    applied.write_text(OBJECTS.replace('colour: blue, size: "1"', "colour: red"))

    assert "configmap/settings configured" in instance.clarion("apply", "-f", str(applied))
    stored = json.loads(instance.clarion("get", "cm", "settings", "-o", "json"))
    assert stored["data"] == {"colour": "red"}


def test_apply_keeps_what_others_set(instance, applied):
    """A field that the file never named survives the next apply."""
    with_label = OBJECTS.replace("metadata: {name: settings}", "metadata: {name: settings, labels: {a: b}}")
    instance.clarion("apply", "-f", "-", stdin=with_label.split("---")[2])
    before = yaml.safe_load(instance.clarion("get", "cm", "settings", "-o", "yaml"))
    assert before["metadata"]["labels"] == {"a": "b"}


def test_apply_from_stdin_shows_what_the_api_says(instance):
    """A refusal is the API's message behind its field's place; the rest is applied; exit code 1."""
    done = instance.run("apply", "-f", "-", stdin=OBJECTS.replace("broker: default", "broker: ''"))

    assert done.returncode == 1
    assert "broker/default" in done.stdout
    assert done.stderr.startswith("clarion: -:6:3: trigger/audit: ")
    assert "missing field(s): spec.broker" in done.stderr


def test_apply_of_a_secret(instance):
    """What a Secret holds stands in it as the API gives it, and nowhere else; a key goes with its line."""
    head = "apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\n"
    for data in ("old: b2xk, one: dHdv", "one: dHdv"):
        text = f"{head}stringData: {{plain: s3cret}}\ndata: {{{data}}}\n"
        instance.clarion("apply", "-f", "-", stdin=text)

    stored = instance.clarion("get", "secret", "keys", "-o", "yaml")

    assert yaml.safe_load(stored)["data"] == {"plain": "czNjcmV0", "one": "dHdv"}
    assert "s3cret" not in stored
    assert stored.count("dHdv") == 1


@pytest.mark.parametrize(("version", "kind", "hint"), [
    ("x.dev/v1", "Thing", "clarion get --help"), ("v1", "ServiceAccount", "leave it out"),
    ("v1", "Service", "Service of serving.knative.dev/v1"),
    ("messaging.knative.dev/v1", "Channel", "a Broker"),
    ("eventing.knative.dev/v1alpha9", "Trigger", "write apiVersion: eventing.knative.dev/v1"),
    ("sources.knative.dev/v1", "GitHubSource", "ContainerSource"), ("apps/v1", "StatefulSet", "Deployment")])
def test_unknown_kind(instance, version, kind, hint):
    """Kubernetes' own words, what to do instead, and exit code 2; what else the file describes is applied."""
    head = f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\n"
    done = instance.run("apply", "-f", "-", stdin=head + "---\n" + """
apiVersion: v1
kind: Secret
metadata: {name: beside}
""")

    assert done.returncode == 2
    assert done.stderr.startswith(f'clarion: -:2:1: no matches for kind "{kind}" in version "{version}"')
    assert hint in done.stderr
    assert done.stdout.startswith("secret/beside ")


def test_places(instance, tmp_path):
    """A folder that is not there, and a value of the wrong type, are told with their place in the file."""
    (tmp_path / "service.yaml").write_text("""
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: nowhere}
spec:
  template:
    spec:
      containers:
        - image: func://./nowhere
""")
    folder = instance.run("apply", "-f", tmp_path / "service.yaml")
    typed = instance.run("apply", "-f", "-", stdin=OBJECTS.replace("broker: default", "broker: 3"))

    assert folder.stderr.startswith(f"clarion: {tmp_path}/service.yaml:9:11: image func://./nowhere: ")
    assert typed.returncode == 1
    assert typed.stderr.startswith("clarion: -:6:3: trigger/audit: ")
    assert 'spec.broker in body must be of type string: "integer"' in typed.stderr


def test_kinds_stand_once(instance):
    """Who asks for a kind that there is not is told each that there is once, whatever its versions."""
    said = instance.run("get", "nonsense").stderr

    listed = said.partition("it has ")[2].strip().split(", ")
    assert "kafkasources" in listed
    assert len(listed) == len(set(listed))


def test_table(instance, applied, until):
    """`get` prints the server's columns; short names, several kinds, wide and all namespaces work."""
    until(lambda: "True" in instance.clarion("get", "broker", "default"), what="a ready broker")

    heads, row = instance.clarion("get", "brokers").splitlines()
    assert heads.split() == ["NAME", "URL", "AGE", "READY", "REASON"]
    assert row.split()[:2] == ["default", f"http://localhost:{instance.state['port']}/default/default"]
    assert instance.clarion("get", "brokers", "-A").startswith("NAMESPACE   NAME")
    assert "trigger.eventing.knative.dev/audit" in instance.clarion("get", "brokers,triggers")
    assert instance.clarion("get", "triggers", "-l", "team=shop", "-o", "name") == (
        "trigger.eventing.knative.dev/audit\n")
    assert instance.clarion("get", "triggers", "-l", "team in (shop, home),!gone", "-o", "name") == (
        "trigger.eventing.knative.dev/audit\n")
    nothing = instance.run("get", "triggers", "-l", "team=none")
    assert (nothing.returncode, nothing.stderr) == (0, "No triggers found in namespace default.\n")


def test_json_and_yaml(instance, applied):
    """One object as it is stored, several as a List."""
    stored = json.loads(instance.clarion("get", "trigger", "audit", "-o", "json"))
    listed = yaml.safe_load(instance.clarion("get", "triggers", "-o", "yaml"))

    assert stored["spec"]["broker"] == "default"
    assert listed["kind"] == "List"
    assert listed["items"][0]["kind"] == "Trigger"


def test_missing_object(instance):
    """The API's message, exit code 1."""
    done = instance.run("get", "broker", "nowhere")

    assert done.returncode == 1
    assert done.stderr == 'clarion: brokers.eventing.knative.dev "nowhere" not found\n'


def test_unknown_kind_name(instance):
    """The kinds that there are, exit code 2."""
    done = instance.run("get", "unicorns")

    assert done.returncode == 2
    assert "no kind 'unicorns'" in done.stderr
    assert "brokers" in done.stderr


def test_watch(instance, applied):
    """-w prints what there is, then every change, until Ctrl-C, which is no failure."""
    with following(instance, "get", "cm", "-w") as lines:
        assert next(lines).split()[0] == "NAME"
        assert next(lines).split()[:2] == ["settings", "2"]
        instance.clarion("delete", "cm", "settings")
        assert any("(deleted)" in line for line in lines)


def test_describe(instance, applied, until):
    """What it is, its spec, its conditions with their reasons, its events."""
    until(lambda: "True" in instance.clarion("get", "trigger", "audit"), what="a ready trigger")

    text = instance.clarion("describe", "trigger", "audit")

    for words in ("Name:         audit", "Labels:       team=shop", "type: order.placed",
                  "SubscriberResolved", "Conditions", "Events"):
        assert words in text
    assert "kubectl.kubernetes.io" not in text


def test_edit(instance, applied):
    """What the editor leaves behind is stored; nothing changed is nothing done; what is refused is kept."""
    def edit(expression):
        environment = {**os.environ, "CLARION_SERVER": instance.control_url,
                       "VISUAL": f"sed -i {shlex.quote(expression)}"}
        return subprocess.run([CLARION, "edit", "cm", "settings"], capture_output=True, text=True,
                              check=False, env=environment)

    assert edit("s/colour: blue/colour: green/").stdout == "configmap/settings edited\n"
    assert "green" in instance.clarion("get", "cm", "settings", "-o", "yaml")
    assert edit("").stdout == "unchanged\n"
    refused = edit("s/colour: green/colour: [1]/")
    assert refused.returncode == 1
    kept = Path(refused.stderr.rpartition("kept in ")[2].strip().rstrip(")"))
    assert "colour: [1]" in kept.read_text()
    kept.unlink()


def test_delete(instance, applied):
    """By name; again is a failure unless that is fine."""
    assert instance.clarion("delete", "trigger", "audit") == "trigger/audit deleted\n"
    assert instance.run("delete", "trigger/audit").returncode == 1
    assert instance.clarion("delete", "trigger/audit", "--ignore-not-found") == ""


def test_send_and_tail(instance, applied, until):
    """What is sent is printed by tail, with its attributes and data; filters choose."""
    until(lambda: "True" in instance.clarion("get", "broker", "default"), what="a ready broker")

    sent = [instance.clarion("send", "--type", "order.placed", "--id", "1", "--attr", "partitionkey=a b%",
                             "--data", '{"sku": "Ä1"}'),
            instance.clarion("send", "--type", "note", "--source", "/me", "--data", "-", stdin="hello\n"),
            instance.clarion("send", "--type", "empty")]

    lines = instance.clarion("tail", "--since", "1m", "--no-follow", "-o", "json").splitlines()
    events = {event["id"]: event for event in map(json.loads, lines)}
    assert events["1"]["partitionkey"] == "a b%"
    assert events["1"]["data"] == {"sku": "Ä1"}
    note = events[sent[1].strip()]
    assert (note["source"], note["data"], note["datacontenttype"]) == ("/me", "hello\n", "text/plain")
    assert "data" not in events[sent[2].strip()]
    chosen = instance.clarion("tail", "--since", "1m", "--filter", "type=note", "--count", "1")
    assert "note /me" in chosen
    assert "    hello\n" in chosen


def test_tail_follows(instance, applied, until):
    """An event that comes after the start of tail is printed as it comes."""
    until(lambda: "True" in instance.clarion("get", "broker", "default"), what="a ready broker")
    with following(instance, "tail", "--since", "1d", "--filter", "type=now") as lines:
        instance.clarion("send", "--type", "now")
        assert " now " in next(lines)


@pytest.mark.parametrize(("arguments", "words"), [
    (["send", "--type", "t", "--broker", "shop/none"], "there is no broker shop/none"),
    (["tail", "--broker", "shop/none"], "there is no broker shop/none"),
    (["logs", "nobody"], "there is no Service default/nobody"),
])
def test_what_is_not_there(instance, arguments, words):
    """One line that says how to list what is; exit code 1."""
    done = instance.run(*arguments)

    assert done.returncode == 1
    assert words in done.stderr
    assert "clarion get" in done.stderr


@pytest.mark.parametrize("name", ["a/b", "..", "a%2Fb"])
def test_a_name_that_is_none(instance, name):
    """What no path could name is refused by that name, before anything is asked."""
    done = instance.run("apply", "-f", "-", stdin=OBJECTS.split("---", maxsplit=1)[0].replace("audit", name))

    assert done.returncode == 2
    assert f'invalid resource name "{name}"' in done.stderr


def test_metrics_of_all_roles(instance):
    """/metrics has samples of every role, /healthz answers, /readyz is content."""
    status, text = instance.get("/metrics")

    assert status == 200
    for role in ("ingress", "dispatcher", "control", "sources", "serving"):
        assert f'role="{role}",index="0"' in text
    assert instance.get("/healthz") == (200, "ok\n")
    assert instance.get("/readyz") == (200, "ok\n")


LONELY = OBJECTS.split("---", maxsplit=1)[0].replace("name: audit", "name: lonely").replace("broker: default",
                                                                                            "broker: nobody")


def test_apply_waits_and_says_what_is_not_ready(instance, tmp_path):
    """What cannot become Ready is applied, told with its reason, and status 1; --no-wait does not look."""
    path = tmp_path / "lonely.yaml"
    path.write_text(LONELY)

    waited = instance.run("apply", "-f", str(path))
    again = instance.run("apply", "-f", str(path), "--no-wait")

    instance.clarion("delete", "-f", str(path))
    assert (waited.returncode, waited.stdout) == (1, "trigger/lonely created\n")
    assert waited.stderr == ("clarion: trigger/lonely was applied and is not Ready: "
                             'BrokerDoesNotExist: Broker "nobody" does not exist in namespace default\n')
    assert (again.returncode, again.stdout) == (0, "trigger/lonely unchanged\n")


def test_apply_waits_for_readiness(instance, tmp_path):
    """Once apply has returned, what it applied is Ready."""
    path = tmp_path / "objects.yaml"
    path.write_text(OBJECTS)

    instance.clarion("apply", "-f", str(path))

    trigger = json.loads(instance.clarion("get", "trigger", "audit", "-o", "json"))
    instance.clarion("delete", "-f", str(path))
    ready = [c["status"] for c in trigger["status"]["conditions"] if c["type"] == "Ready"]
    assert ready == ["True"]


def test_unknown_fields_of_a_file(instance, tmp_path):
    """A field that its kind has not is refused at its line; with --validate warn it is left out."""
    path = tmp_path / "b.yaml"
    path.write_text("apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata:\n  name: strict\n"
                    "  annotations: {clarion.dev/retension: 7d}\nspec:\n  foo: 1\n")

    refused = instance.run("apply", "-f", str(path))
    applied = instance.run("apply", "-f", str(path), "--validate", "warn")

    assert (refused.returncode, applied.returncode) == (1, 0)
    assert refused.stderr == (
        f'clarion: {path}:7:3: broker/strict: Broker in version "v1" cannot be handled as a Broker: '
        'strict decoding error: unknown field "spec.foo"\n')
    assert f'clarion: {path}:1:1: broker/strict: warning: unknown field "spec.foo"\n' in applied.stderr
    assert "did you mean clarion.dev/retention?" in applied.stderr
    instance.clarion("delete", "broker", "strict")


def test_delete_goes_on_after_what_is_gone(instance, tmp_path):
    """What is gone already is told, with status 1; everything else is deleted all the same."""
    path = tmp_path / "objects.yaml"
    path.write_text(OBJECTS)
    instance.clarion("apply", "-f", str(path))
    instance.clarion("delete", "broker", "default")

    again = instance.run("delete", "-f", str(path))

    assert again.returncode == 1
    assert 'broker/default: brokers.eventing.knative.dev "default" not found' in again.stderr
    assert "trigger/audit deleted" in again.stdout
    assert "configmap/settings deleted" in again.stdout


def test_a_kind_without_conditions(instance, tmp_path):
    """One that has no Ready is not waited for, and a kind of no namespace is not missed in one."""
    nothing = instance.run("get", "cdc")
    path = tmp_path / "claim.yaml"
    path.write_text("apiVersion: networking.internal.knative.dev/v1alpha1\nkind: ClusterDomainClaim\n"
                    "metadata: {name: shop.example.com}\nspec: {namespace: default}\n")
    applied = instance.run("apply", "-f", str(path))
    instance.run("delete", "-f", str(path))

    assert nothing.stderr == "No clusterdomainclaims found.\n"
    assert (applied.returncode, applied.stdout) == (0, "clusterdomainclaim/shop.example.com created\n")
