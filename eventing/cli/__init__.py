"""
The command `clarion`: which commands there are, and how every one of them fails.

A command's module is imported when that command is asked for, so that `clarion --help` costs no more than it
shows. Commands talk to a running instance over its control API, as kubectl does; only `up` and `run` start
something. Whatever a command raises on purpose becomes one line on stderr: what is wrong, and what to do.

    exit code   0 done    1 it failed    2 the command or a setting cannot work    130 interrupted
"""

import importlib
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from eventing.cli import output
from eventing.errors import ClarionError, UsageError

# command -> its module here, and the line in `clarion --help`: the first one of its docstring.
COMMANDS = {
    "up": ("up", "Start everything on this machine, and stay."),
    "run": ("up", "Run one role, for more than one machine."),
    "apply": ("changes", "Create or update what YAML files describe, and wait until it is Ready."),
    "get": ("objects", "List objects as a table, JSON or YAML."),
    "describe": ("objects", "Show one object with its conditions and recent events."),
    "delete": ("changes", "Delete objects by name or by the files that describe them."),
    "edit": ("changes", "Change an object in your editor."),
    "send": ("events", "Send one event to a broker."),
    "tail": ("events", "Print events as they arrive at a broker."),
    "dead": ("dead", "Look at events that no retry delivered, and send them once more."),
    "explain": ("explain",
                "Say why a Trigger wants an event, or why not; or what became of an event that came."),
    "logs": ("functions", "Print what a Service's workers print."),
    "source": ("sources", "List and describe where events come from."),
    "func": ("func", "Make, try out, deploy and call functions."),
    "cesql": ("cesql", "Evaluate a CloudEvents SQL expression."),
    "doctor": ("doctor", "Check that this machine can run Clarion."),
    "demo": ("demo", "Show the whole story in under a minute, without a trace."),
    "version": ("doctor", "Print the versions of Clarion and what it stands on."),
}


class _Commands(TyperGroup):
    """The commands of COMMANDS; a command's module is imported when it is resolved, not when it is listed."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  the signature is Click's
        """Names, in the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002  the signature is Click's
        """The command if it was resolved, else what its line in the help needs."""
        if cmd_name in self.commands or cmd_name not in COMMANDS:
            return self.commands.get(cmd_name)
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name][1])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Import the command that *args* name."""
        if args and args[0] in COMMANDS:
            module = importlib.import_module(f"eventing.cli.{COMMANDS[args[0]][0]}")
            self.commands[args[0]] = typer.main.get_group(module.app).commands[args[0]]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="clarion", cls=_Commands, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Eventing and serving on one machine: triggers in YAML, a durable broker, "
         "functions that wake from zero.",
)


# The class of Click's that a wrong option raises; where Typer keeps Click has changed, this has not.
_BadUsage: Any = typer.BadParameter.__bases__[0]


def _version(is_asked: bool) -> None:
    if is_asked:
        from importlib import metadata  # noqa: PLC0415  few ask

        sys.stdout.write(f"clarion {metadata.version('clarion')}\n")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True,
                                          help="Print the version; `clarion version` says more.")] = False,
) -> None:
    """Nothing else is asked before the command's own options."""
    del version


def _complain(text: str) -> None:
    sys.stderr.write(f"clarion: {output.visible(' '.join(text.split()))}\n")


def main() -> None:
    """Run the command line of this process, and exit with its code."""
    output.guard()
    try:
        sys.exit(app(sys.argv[1:] or ["--help"], prog_name="clarion", standalone_mode=False))
    except ClarionError as error:
        _complain(str(error))
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except _BadUsage as error:
        command = error.ctx.command_path if error.ctx else "clarion"
        said = error.format_message().strip().rstrip(".")
        _complain(f"{said[:1].lower()}{said[1:]}; see {command} --help")
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output, `head` perhaps, has seen enough
        sys.exit(0)
