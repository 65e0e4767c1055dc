"""`clarion func`: a function's way from its first line to its end, typed as a person types it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CLARION = Path(sys.executable).with_name("clarion")
EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture
def func(instance):
    """`func(...)`: a finished `clarion func` command against the instance."""
    return lambda *arguments, **how: instance.run("func", *map(str, arguments), **how)


def write(folder, **files):
    """Make a folder with these files; `__` in a name is a `/`, and `_` before its ending a dot."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/').rpartition('_')[0]}.{name.rpartition('_')[2]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize(("template", "answer"), [
    ("event", {"message": "Hello Ada"}),
    ("cloudevents", {"message": "Hello Ada"}),
    ("http", None),
])
def test_from_new_to_delete(func, tmp_path, template, answer):
    """new, deploy, invoke, list, delete, for every template."""
    folder = tmp_path / f"my-{template}"

    assert func("new", folder, "--template", template).stdout == f"Created python function in {folder}\n"
    deployed = func("deploy", folder)
    assert deployed.returncode == 0, deployed.stderr
    assert re.fullmatch(rf"http://my-{template}\.default\.localhost:\d+\n", deployed.stdout)
    called = func("invoke", f"my-{template}", "--data", '{"name":"Ada"}')
    if template == "http":
        assert called.stdout == "Hello world\n"
    else:
        said = json.loads(called.stdout)
        assert said.get("data", said) == answer
    assert [row["name"] for row in json.loads(func("list", "-o", "json").stdout)] == [f"my-{template}"]
    assert func("list").stdout.splitlines()[1].split()[::4] == [f"my-{template}", "True"]
    assert func("delete", "--path", folder).stdout == f"function my-{template} deleted\n"
    gone = func("invoke", "--path", folder)
    assert gone.returncode == 1
    assert gone.stderr.startswith(f"clarion: there is no function my-{template} in namespace default; ")


def test_inner_names(instance, func, tmp_path):
    """A Service is called by its inner name beside the data directory; elsewhere a line says why not."""
    folder = tmp_path / "within"
    func("new", folder, "--template", "event")
    deployed = func("deploy", folder)
    assert deployed.returncode == 0, deployed.stderr
    url = "http://within.default.svc.cluster.local"

    def invoke(place):
        return subprocess.run([CLARION, "func", "invoke", url], capture_output=True, text=True, timeout=60,
                              check=False, env={**os.environ, "CLARION_DATA_DIR": str(place)})

    called = invoke(instance.data_dir)
    assert called.returncode == 0, called.stderr
    assert "Hello" in called.stdout
    elsewhere = invoke(tmp_path)
    assert elsewhere.returncode == 1
    assert elsewhere.stderr.startswith(f"clarion: cannot call {url}: names under .svc.cluster.local lead no")
    func("delete", "--path", folder)


KNATIVE_YAML = """
specVersion: 0.36.0
name: scorer
runtime: python
created: 2025-09-20T16:25:54.767714524+02:00
invoke: cloudevent
run: {envs: [{name: LIMIT, value: "7"}, {name: TOKEN, value: "{{ secret:keys:token }}"}]}
deploy:
  options: {scale: {min: 0, max: 3}, resources: {limits: {memory: 256Mi, concurrency: 4}}}
"""
SUBSCRIBED = """
  subscriptions: [{source: default, filters: {type: comment}}, {source: default, filters: {type: other}}]
"""
KNATIVE_FUNCTION = """
import os
from cloudevents.core.v1.event import CloudEvent

def new():
    return Function()

class Function:
    def start(self, cfg):
        self.cfg = cfg

    async def handle(self, scope, receive, send):
        event = scope["event"]
        print("scored", event.get_id(), self.cfg["LIMIT"], os.environ["TOKEN"])
        await send.binary(CloudEvent({"type": "scored", "source": "/s"}, {"of": event.get_data()}), 200)

    def ready(self):
        return True, "Ready"
"""
KNATIVE_PROJECT = """
[project]
name = "function"
version = "0.1.0"
requires-python = ">=3.9"
dependencies = ["cloudevents", "pytest", "pytest-asyncio"]

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
"""


def test_knatives_own_folder(func, instance, tmp_path, until):
    """A folder laid out by Knative's func deploys unchanged, with its Secret and its subscriptions."""
    folder = write(tmp_path / "any", func_yaml=KNATIVE_YAML + SUBSCRIBED, pyproject_toml=KNATIVE_PROJECT,
                   function__func_py=KNATIVE_FUNCTION, function____init___py="from .func import new\n",
                   tests__test_func_py="import nowhere\n")
    instance.clarion("apply", "-f", "-", stdin="""
        {apiVersion: v1, kind: Secret, metadata: {name: keys}, stringData: {token: t0}}
        \n---\n
        {apiVersion: eventing.knative.dev/v1, kind: Broker, metadata: {name: default}}
        """.replace("\n        ", "\n"))

    done = func("deploy", folder)

    assert done.returncode == 0, done.stderr
    service = json.loads(instance.clarion("get", "service", "scorer", "-o", "json"))
    assert service["spec"]["template"]["spec"]["containerConcurrency"] == 4
    assert service["spec"]["template"]["metadata"]["annotations"]["autoscaling.knative.dev/max-scale"] == "3"
    until(lambda: instance.clarion("get", "triggers").count("True") == 2, what="two Triggers that are Ready")
    assert instance.publish("1", "comment", {"text": "good"}) == 202
    until(lambda: "scored 1 7 t0" in instance.clarion("logs", "scorer"), what="the event in the function")
    assert json.loads(func("invoke", "-p", folder, "--id", "2").stdout) == {"of": {"message": "Hello World"}}

    (folder / "func.yaml").write_text(KNATIVE_YAML)
    done = func("deploy", folder, "--env", "LIMIT=8")
    assert done.returncode == 0, done.stderr
    assert "trigger/scorer-function-trigger-1 deleted" in done.stderr
    assert "No triggers" in instance.run("get", "triggers").stderr
    func("invoke", "-p", folder, "--id", "3")
    until(lambda: "scored 3 8 t0" in instance.clarion("logs", "scorer"), what="the variable's new value")


def test_packages(func, tmp_path):
    """What a folder asks for is installed on the way, and the command says so."""
    folder = write(tmp_path / "packed", func_py="import tiny\ndef handle(event): print(tiny.SAYS)\n",
                   requirements_txt="./tiny-1.0-py3-none-any.whl\n")
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny.py", "SAYS = 'tiny'\n")
        about = "tiny-1.0.dist-info"
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")

    done = func("deploy", folder)

    assert done.returncode == 0, done.stderr
    assert "BuildingEnvironment: " in done.stderr


def test_packages_that_fail(func, instance, tmp_path):
    """What cannot be installed is said in one line, by the command and by the Revision."""
    folder = write(tmp_path / "unpacked", func_py="def handle(event): pass\n",
                   requirements_txt="./nowhere.whl\n")

    done = func("deploy", folder)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("clarion: EnvironmentFailed: ")
    assert "nowhere.whl" in done.stderr.splitlines()[-1]
    revision = json.loads(instance.clarion("get", "revision", "unpacked-00001", "-o", "json"))
    conditions = {one["type"]: one for one in revision["status"]["conditions"]}
    assert (conditions["Ready"]["status"], conditions["Ready"]["reason"]) == ("False", "EnvironmentFailed")
    assert conditions["ResourcesAvailable"]["status"] == "False"


def test_code_that_fails(func, tmp_path):
    """A function that cannot be imported is not deployed, and its last line says why."""
    folder = write(tmp_path / "broken", func_py="import nowhere\n")

    done = func("deploy", folder)

    assert done.returncode == 1
    assert "ModuleNotFoundError: No module named 'nowhere'" in done.stderr.splitlines()[-1]
    called = func("invoke", "broken")
    assert called.returncode == 1
    assert "answered 404: Service default/broken has no revision that is ready" in called.stderr
    assert "ModuleNotFoundError: No module named 'nowhere'" in called.stderr


def test_a_broker_that_is_not_there(func, tmp_path):
    """A subscription to it is made all the same, and said to wait for it."""
    folder = write(tmp_path / "early", func_py="def handle(event): pass\n",
                   func_yaml="deploy: {subscriptions: [{source: nobody}, {source: a b}]}\n")

    done = func("deploy", folder, "--no-wait")

    assert done.returncode == 0, done.stderr
    for number, broker in enumerate(["nobody", "a b"]):
        trigger = f"trigger/early-function-trigger-{number}"
        wanted = (
            f"{trigger} created\n{trigger} gets no events yet: there is no Broker {broker} in namespace "
            "default; apply one, or name another in deploy.subscriptions (clarion get brokers lists them)\n")
        assert wanted in done.stderr


def test_a_folder_without_a_function(func, tmp_path):
    """What is missing is said of the folder, and of no file that nobody wrote."""
    folder = tmp_path / "empty"
    folder.mkdir()

    done = func("deploy", folder)

    assert done.returncode == 2
    assert done.stderr == f"clarion: {folder}: nothing to pack; put a func.py there\n"


def test_answers(func, tmp_path):
    """A call shows the answer's head if asked, and fails where the function does."""
    folder = write(tmp_path / "odd", func_py="def handle(event): return {}[event['n']]\n")
    assert func("deploy", folder).returncode == 0

    done = func("invoke", "odd", "-e", "n=x", "-v")

    assert done.returncode == 1
    assert done.stderr.startswith("500 ")
    assert done.stderr.splitlines()[-1].endswith("answered 500: KeyError: 'x'")


@pytest.mark.parametrize(("arguments", "message"), [
    (["new", "x", "--template", "go"], "there is no template 'go'; choose event, cloudevents or http"),
    (["new", "My_Func"], None),
    (["new", ""], "a function has a name; clarion func new hello makes one called hello"),
    (["new", "/"], "/: is there already, and not empty; choose another name"),
    (["deploy", "/nowhere"], "/nowhere: not a folder; clarion func new nowhere makes one with a function"),
    (["deploy", "{folder}", "--env", "A"], "--env A: give NAME=VALUE, or NAME- to leave one out"),
    (["run", "{folder}", "--port", "99999"], None),
    (["invoke", "-p", "/nowhere"], "which function? Name one, or a folder with a func.yaml (--path DIR)"),
    (["invoke", "x", "-f", "grpc"], None),
    (["delete"], "which function? Name one, or a folder with a func.yaml (--path DIR)"),
    (["list", "-o", "xml"], "-o xml: choose human, json or yaml"),
])
def test_wrong_usage(func, tmp_path, arguments, message):
    """What cannot work: one line, nothing on stdout."""
    folder = write(tmp_path / "f", func_py="def handle(event): pass\n")
    done = func(*(word.format(folder=folder) for word in arguments))

    assert done.returncode in {1, 2}
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    if message:
        assert (done.returncode, done.stderr) == (2, f"clarion: {message}\n")


@pytest.mark.parametrize("command", ["new", "run", "deploy", "invoke", "list", "delete"])
def test_help(func, command):
    """Every command's help has an example."""
    assert f"Example: clarion func {command}" in " ".join(func(command, "--help").stdout.split())


class Running:
    """A `clarion func run` and what it prints."""

    def __init__(self, folder, *options):
        self.log = folder.parent / "run.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [CLARION, "func", "run", folder, "--port", "0", *options], stdout=output, stderr=output,
                cwd=folder.parent, env={**os.environ, "NO_COLOR": "1"}, start_new_session=True)

    def said(self, text):
        """How often it has printed *text*."""
        return self.log.read_text().count(text)

    def stop(self):
        """Ctrl-C; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=20)


@pytest.fixture
def run():
    """Starts `clarion func run`; stopped at the end."""
    made = []

    def start(folder, *options):
        made.append(Running(folder, *options))
        return made[-1]

    yield start
    for one in made:
        one.stop()


def test_run(func, run, tmp_path, until):
    """A folder is served, anew on every change; what does not import is waited for; Ctrl-C leaves nothing."""
    code = "import os\ndef handle(event): print({!r}, os.environ['A'], os.environ['K_SERVICE'])\n"
    folder = write(tmp_path / "live", func_py=code.format("one"),
                   func_yaml="run: {envs: [{name: A, value: a}, {name: B, value: '{{ secret:x:y }}'}]}\n")
    running = run(folder, "--env", "A=b", "--env", "B-")
    until(lambda: running.said("Function running on http://127.0.0.1:"), what="the URL")

    assert func("invoke", "-p", folder, "-f", "cloudevent").returncode == 0
    until(lambda: running.said("one b live"), what="the first version's line")
    (folder / "func.py").write_text(code.format("two"))
    until(lambda: running.said("changed: running anew after"), what="the reload")
    assert func("invoke", "-p", folder, "-f", "cloudevent").returncode == 0
    until(lambda: running.said("two b live"), what="the second version's line")
    (folder / "func.py").write_text("import nowhere\n")
    until(lambda: running.said("it does not start; waiting for a change"), what="the complaint")
    until(lambda: running.said("No module named 'nowhere'"), what="what the worker prints itself")
    refused = func("invoke", "-p", folder).stderr
    assert "answered 503: live does not run: " in refused
    assert "No module named 'nowhere'" in refused
    (folder / "func.py").write_text("print('hangs')\nwhile True: pass\n")
    until(lambda: running.said("hangs"), what="the version that hangs")
    (folder / "func.py").write_text(code.format("six"))
    until(lambda: running.said("changed: running anew after") == 2, what="the next reload")
    assert func("invoke", "-p", folder, "-f", "cloudevent").returncode == 0
    until(lambda: running.said("six b live"), what="the third version's line")
    (folder / "requirements.txt").write_text("./nowhere.whl\n")
    until(lambda: running.said("EnvironmentFailed: "), what="the complaint about packages")
    (folder / "requirements.txt").unlink()
    until(lambda: running.said("changed: running anew after") == 3, what="the reload without them")
    (folder / "func.yaml").unlink()
    (folder / "func.py").write_text("def handle(event): print('seven')\n")
    until(lambda: running.said("changed: running anew after") >= 4, what="the last reload")
    assert func("invoke", "-p", folder).returncode == 0
    until(lambda: running.said("seven"), what="the line of a folder without func.yaml")

    assert running.stop() == 0
    assert not (folder / ".func" / "run.json").exists()
    assert not list(tmp_path.glob(".clarion/environments/*/"))


@pytest.mark.skipif(not shutil.which("node"), reason="node is not on PATH")
def test_node(instance, func):
    """The example in another language: a program that serves PORT."""
    instance.clarion("apply", "-f", EXAMPLES / "node")

    said = json.loads(func("invoke", "salute", "--data", '{"name":"Ada"}').stdout)

    assert said["message"] == "Hello Ada"
    assert said["from"].startswith("v")
    listed = {row["name"]: row["runtime"] for row in json.loads(func("list", "-o", "json").stdout)}
    assert listed["salute"] == "node"
