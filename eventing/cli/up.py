"""
`clarion up` and `clarion run`: the options are the settings of eventing/config.py, all of them.

Here is what a person sees of the start: progress on a terminal, one block when everything is ready. The
starting itself is the supervisor's.
"""

import http.client
import inspect
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from eventing import instance, valkey
from eventing.config import ROLES, Config
from eventing.errors import UsageError

_SHORT = {"files": ("-f", "--file"), "data_dir": ("--data-dir",)}
# A start takes one; what is not ready then, somebody who reads a log wants to know.
_TELL_AFTER_S = 3.0
_SERVICES_S = 10.0  # until a serving role that starts at the same moment is there
_LOOK_S = 0.05
_PROBE_TIMEOUT_S = 0.5  # the supervisor waits meanwhile; a control role that starts answers when it is up

app = typer.Typer()


def _options(function: Callable[..., None]) -> Callable[..., None]:
    """Give *function* one option for each setting; what is not given is left to environment and default."""
    own = [parameter for parameter in inspect.signature(function).parameters.values()
           if parameter.kind is not parameter.VAR_KEYWORD]
    settings = [_option(name, field) for name, field in Config.model_fields.items()]

    def command(**values: Any) -> None:
        function(**values)

    command.__doc__ = function.__doc__
    command.__name__ = function.__name__
    command.__signature__ = inspect.Signature([*own, *settings])  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *settings]}
    return command


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    many = name == "files"
    kind: Any = list[Path] if many else next(iter(get_args(field.annotation)), field.annotation)
    default = "none" if many else field.default
    option = typer.Option(
        *_SHORT.get(name, (f"--{name.replace('_', '-')}",)), help=field.description,
        show_default="embedded" if name == "redis_url" else str(default).lower(),
    )
    # The environment is read by Config; the help names the variable.
    option.help = f"{field.description} (CLARION_{name.upper()})"
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None,
                             annotation=Annotated[kind | None, option])


def settings(values: dict[str, Any]) -> Config:
    """
    Settings from the options that were given, the environment, and defaults, in this order.

    Raises:
        UsageError: one of them cannot be; the message names it.
    """
    given = {name: value for name, value in values.items() if value is not None}
    try:
        return Config(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name, wrong = str(first["loc"][0]), first["msg"].removeprefix("Value error, ")
        raise UsageError(f"--{name.replace('_', '-')} (CLARION_{name.upper()}): {wrong}, "
                         f"but got {first['input']!r}") from error


@app.command()
@_options
def up(**values: Any) -> None:
    """
    Start everything on this machine, and stay.

    Ctrl-C drains and leaves the state, which the next start finds; a second Ctrl-C stops at once.

    Example: clarion up -f examples/quickstart --port 8080
    """
    from eventing import app as root  # noqa: PLC0415  only starting needs the roles' surroundings
    from eventing import documents, supervisor  # noqa: PLC0415

    config = settings(values)
    if config.gateway_url is not None:
        raise UsageError("--gateway-url (CLARION_GATEWAY_URL) is for `clarion run` far from the Services; "
                         "leave it out")
    if Path("-") in config.files:
        raise UsageError("-f -: stdin can be read only once; give a file, or use clarion apply -f - later")
    count = len(documents.read(config.files))
    code = supervisor.Supervisor(config, root.run_role, lambda final: _Start(final, count).is_ready).run()
    raise typer.Exit(code)


@app.command()
@_options
def run(role: Annotated[str, typer.Argument(help=f"One of {', '.join(ROLES)}.")],
        index: Annotated[int, typer.Option(help="Which of several processes of this role.")] = 0,
        **values: Any) -> None:
    """
    Run one role, for more than one machine.

    Roles find each other through one Redis, named by --redis-url, and a dispatcher reaches Services through
    the sockets of its --data-dir, or, where they run elsewhere, through the data port of --gateway-url.

    Example: clarion run dispatcher --redis-url redis://10.0.0.5:6379 --gateway-url http://10.0.0.5:8080
    """
    from eventing import app as root  # noqa: PLC0415  only starting needs the roles' surroundings

    if role not in ROLES:
        raise UsageError(f"there is no role {role!r}; choose one of {', '.join(ROLES)}")
    config = settings(values)
    _check_store(config)
    instance.prepare(config)
    if role == "dispatcher":
        _check_services(config)
    sockets = {}
    if role == "ingress":
        sockets["data"] = instance.listen(config.host, config.port, "--port")
    if role == "control":
        sockets["control"] = instance.listen(config.host, config.control_port, "--control-port")
    raise typer.Exit(root.run_role(role, config, index, sockets))


def _check_store(config: Config) -> None:
    """UsageError unless the Redis of a role that runs by itself can be used; say what a crash could cost."""
    if config.redis_url is None and instance.running(config.data_dir) is None:
        raise UsageError("name the Redis of all roles with --redis-url; "
                         f"no `clarion up` runs on {config.data_dir} whose own could be used")
    warning = valkey.check_own(config.store_url)
    if warning:
        sys.stderr.write(f"clarion: {warning}\n")


def _check_services(config: Config) -> None:
    """UsageError unless a dispatcher can reach Services: what it sends them would become dead letters."""
    due = time.monotonic() + _SERVICES_S
    while config.gateway is None and not config.activator_socket.exists():
        if time.monotonic() > due:
            raise UsageError(f"no Services run on {config.data_dir}; name the data port of the instance that "
                             "runs them with --gateway-url http://HOST:PORT, or its --data-dir")
        time.sleep(_LOOK_S)


class _Start:
    """What the start of one instance looks like on the terminal."""

    def __init__(self, config: Config, count: int) -> None:
        self._config = config
        self._count = count
        self._started = time.monotonic()
        self._shown = ""
        self._told = ""

    def is_ready(self) -> bool:
        """Ask the control role; show what is missing, or once and for all the block."""
        status, body = self._ask()
        if status == http.HTTPStatus.OK:
            self._progress("")
            sys.stdout.write(self._block())
            sys.stdout.flush()
            return True
        self._progress(body)
        return False

    def _ask(self) -> tuple[int, str]:
        config = self._config
        connection = http.client.HTTPConnection(instance.reachable(config.host), config.control_port,
                                                timeout=_PROBE_TIMEOUT_S)
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException):
            return 0, "control: starting"
        finally:
            connection.close()

    def _progress(self, missing: str) -> None:
        """One line that is rewritten, on a terminal; elsewhere one for each thing that takes its time."""
        first, *rest = missing.strip().splitlines() or [""]
        more = f" (and {len(rest)} more)" if rest else ""
        if not sys.stderr.isatty():
            if first and first != self._told and time.monotonic() - self._started > _TELL_AFTER_S:
                sys.stderr.write(f"clarion: waiting for {first}{more}\n")
                sys.stderr.flush()
                self._told = first
            return
        line = f"{time.monotonic() - self._started:5.1f} s  waiting for {first}{more}" if first else ""
        if line != self._shown:
            # The cursor goes back to the beginning, so that a log line of a role takes the line's place.
            sys.stderr.write(f"\r\033[K{line[:100]}\r")
            sys.stderr.flush()
            self._shown = line

    def _block(self) -> str:
        config = self._config
        took_s = time.monotonic() - self._started
        control = f"http://{instance.reachable(config.host)}:{config.control_port}"
        # Commands find the usual port, and any port of the instance on the usual directory.
        is_usual = any(getattr(config, name) == Config.model_fields[name].default
                       for name in ("control_port", "data_dir"))
        server = "" if is_usual else f" --server {control}"
        files = ", ".join(map(str, config.files))
        applied = f"{self._count} objects from {files}" if files else "nothing"
        state = "thrown away at the end" if config.ephemeral else "kept"
        return (
            f"Clarion is ready, after {took_s:.1f} s. Ctrl-C stops it.\n\n"
            f"  Brokers    {config.data_url}/NAMESPACE/BROKER\n"
            f"  Control    {control}  (Kubernetes API, /readyz, /metrics)\n"
            f"  Data       {config.data_dir.absolute()}  ({state})\n"
            f"  Applied    {applied}\n\n"
            "Try next, in another terminal:\n\n"
            f"  {_typed()} send --type order.placed --data '{{\"sku\":\"A1\",\"qty\":2}}'{server}\n"
            f"  {_typed()} tail{server}\n"
            f"  {_typed()} get brokers,triggers,services,pingsources{server}\n\n"
        )


def _typed() -> str:
    """How a person calls this very program: `clarion`, where PATH leads to it, else its path."""
    own = Path(sys.executable).with_name("clarion")
    found = shutil.which("clarion")
    if not own.exists() or (found and Path(found).resolve() == own.resolve()):
        return "clarion"
    here = Path.cwd()
    return str(own.relative_to(here)) if own.is_relative_to(here) else str(own)
