"""
What `clarion func new` writes: three small functions, each complete, none a framework.

    event         func.py with handle(event): the least that there is
    cloudevents   Knative's layout and its instanced form, for events
    http          the same for any HTTP request

The latter two deploy on Knative as they are, too: `func deploy` there, `clarion func deploy` here.
"""

from eventing.errors import UsageError

DEFAULT = "event"

_EVENT = '''\
"""Answers every event with a greeting."""

from cloudevents.core.v1.event import CloudEvent


def handle(event: CloudEvent) -> CloudEvent | None:
    """Take one event; what is returned goes back to the broker as a new event, None is the end of it."""
    data = event.get_data()
    name = data.get("name", "world") if isinstance(data, dict) else "world"
    print(f"{event.get_type()} {event.get_id()}: hello {name}")
    return CloudEvent({"type": "greeting.made", "source": "/NAME"}, {"message": f"Hello {name}"})
'''

_CLOUDEVENTS = '''\
"""Answers every event with a greeting."""

from cloudevents.core.v1.event import CloudEvent


def new():
    """Called once for each worker."""
    return Function()


class Function:
    """Only handle is needed; alive(), start(cfg) and stop() are called where they are defined."""

    async def handle(self, scope, receive, send):
        """Take one request; the event that it carries is decoded."""
        event = scope["event"]
        data = event.get_data()
        name = data.get("name", "world") if isinstance(data, dict) else "world"
        print(f"{event.get_type()} {event.get_id()}: hello {name}")
        attributes = {"type": "greeting.made", "source": "/NAME", "id": f"reply-{event.get_id()}"}
        await send(CloudEvent(attributes, {"message": f"Hello {name}"}))

    def ready(self):
        """Say when requests may come."""
        return True, "Ready"
'''

_HTTP = '''\
"""Answers every request with a greeting."""


def new():
    """Called once for each worker."""
    return Function()


class Function:
    """Only handle is needed; alive(), start(cfg) and stop() are called where they are defined."""

    async def handle(self, scope, receive, send):
        """Take one request, as any ASGI application."""
        print(scope["method"], scope["path"])
        headers = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"Hello world\\n"})

    def ready(self):
        """Say when requests may come."""
        return True, "Ready"
'''

_PROJECT = """\
[project]
name = "function"
version = "0.1.0"
requires-python = ">=3.10"
dependencies = [DEPENDENCIES]

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
"""

_YAML = """\
specVersion: 0.36.0
name: NAME
runtime: python
created: CREATED
"""

_INVOKE = "invoke: cloudevent\n"
_REQUIREMENTS = "# What func.py imports beyond the SDK cloudevents, a line each, as pip reads them.\n"
_INIT = '"""The function\'s package; Knative imports `new` from here."""\n\nfrom .func import new\n'


def files(template: str, name: str, created: str) -> dict[str, str]:
    """
    Path -> text of a new function.

    Args:
        template: one of the module's table.
        name: the function's name.
        created: RFC 3339 time, for func.yaml.

    Raises:
        UsageError: there is no such template.
    """
    yaml = _YAML.replace("NAME", name).replace("CREATED", created)
    match template:
        case "event":
            made = {"func.yaml": yaml + _INVOKE, "func.py": _EVENT, "requirements.txt": _REQUIREMENTS}
        case "cloudevents":
            made = {"func.yaml": yaml + _INVOKE, "function/func.py": _CLOUDEVENTS,
                    "function/__init__.py": _INIT,
                    "pyproject.toml": _PROJECT.replace("DEPENDENCIES", '"cloudevents>=2"')}
        case "http":
            made = {"func.yaml": yaml, "function/func.py": _HTTP,
                    "function/__init__.py": _INIT, "pyproject.toml": _PROJECT.replace("DEPENDENCIES", "")}
        case _:
            raise UsageError(f"there is no template {template!r}; choose event, cloudevents or http")
    return {path: text.replace("/NAME", f"/{name}") for path, text in made.items()}
