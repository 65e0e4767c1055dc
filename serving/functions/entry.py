"""
Which object of a bundle is the function, and what form it has.

The module: what annotation `clarion.dev/entry` names (`module` or `module:name`), else `func` (func.py at
the bundle's top), else the package `function` or its module `function.func` (as `func create -l python`
lays it out). In it, unless the annotation names the object, the first of `new`, `app`, `handle`, `main` that
is callable. Its form follows from its name and from the arguments it must be given:

    name        must be given           form        is
    ----        -------------           ----        --
    new         nothing                 INSTANCED   Knative's: makes an object with such a handle()
    handle      one                     EVENT       event -> event or None, `def` or `async def`
    handle      scope, receive, send    STATIC      Knative's, without an instance
    main        one                     LEGACY      context -> what a Flask view returns, or an event
    any other   scope, receive, send    ASGI        an app, as any ASGI server takes it
    any other   one                     EVENT
    any other   nothing                 INSTANCED

This module imports the bundle's code, and runs nothing else of it.
"""

import enum
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from eventing.errors import ClarionError

_NAMES = ("new", "app", "handle", "main")
_ASGI_ARGUMENTS = 3


class NoEntry(ClarionError):
    """The bundle holds no function that we recognise; the message says what was looked for."""


class Form(enum.Enum):
    """How a function wants to be called."""

    EVENT = "event"
    INSTANCED = "instanced"
    STATIC = "static"
    ASGI = "asgi"
    LEGACY = "legacy"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A function: its *target* object, and the *form* it has. *name* is for messages (`func:handle`)."""

    name: str
    form: Form
    target: Callable[..., Any]


def find(folder: Path, wanted: str | None) -> Entry:
    """
    Import the function of the bundle in *folder*, which must be the first on `sys.path`.

    *wanted* is `module:name`, `module`, or None to look in the usual places. Whatever the bundle's code
    raises while it is imported passes through.

    Raises:
        NoEntry: no module or no object there, or its arguments fit no form.
    """
    _forget_shadowed(folder)
    if wanted:
        module_name, _, name = wanted.partition(":")
        return _entry(_import(module_name), module_name, name)
    if (folder / "func.py").is_file():
        return _entry(importlib.import_module("func"), "func")
    if (folder / "function").is_dir():
        return _package_entry(folder)
    raise NoEntry("the bundle has neither func.py at its top nor a package `function`; "
                  "name the function with the annotation clarion.dev/entry: module:name")


def _package_entry(folder: Path) -> Entry:
    package = importlib.import_module("function")
    if not _found_names(package) and (folder / "function" / "func.py").is_file():
        return _entry(importlib.import_module("function.func"), "function.func")
    return _entry(package, "function")


def _import(module_name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise NoEntry(f"clarion.dev/entry names module {module_name!r}: "
                          "it is neither in the bundle nor installed") from error
        raise  # the module is there; what it imports is not


def _found_names(module: ModuleType) -> list[str]:
    return [name for name in _NAMES if callable(getattr(module, name, None))]


def _entry(module: ModuleType, module_name: str, name: str = "") -> Entry:
    found = [name] if name else _found_names(module)
    if not found:
        raise NoEntry(f"module {module_name!r} defines none of {', '.join(_NAMES)}")
    target: Any = module
    for part in found[0].split("."):
        target = getattr(target, part, None)
    full_name = f"{module_name}:{found[0]}"
    if not callable(target):
        raise NoEntry(f"{full_name} is not there, or cannot be called")
    return Entry(name=full_name, form=form_of(target, found[0], full_name), target=target)


def form_of(target: Callable[..., Any], name: str, full_name: str) -> Form:
    """
    The table above, for *target* found under *name*.

    Raises:
        NoEntry: its arguments fit no row.
    """
    must_have = _required_arguments(target)
    if must_have == _ASGI_ARGUMENTS:
        return Form.STATIC if name == "handle" else Form.ASGI
    if must_have == 1 and name != "new":
        return Form.LEGACY if name == "main" else Form.EVENT
    if must_have == 0 and name not in {"handle", "main"}:
        return Form.INSTANCED
    raise NoEntry(f"{full_name}{_signature(target)}: expected handle(event), handle(scope, receive, send), "
                  "new() or an ASGI app")


def _signature(target: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(target)
    except (ValueError, TypeError):  # some callables in C have none
        return inspect.Signature()


def _required_arguments(target: Callable[..., Any]) -> int:
    """
    How many positional arguments *target* has to be given.

    One with `*args` takes three: middlewares wrap ASGI apps that way.
    """
    parameters = _signature(target).parameters.values()
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return _ASGI_ARGUMENTS
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(one.kind in positional and one.default is one.empty for one in parameters)


def _forget_shadowed(folder: Path) -> None:
    """
    Forget modules that the bundle has under the same name: its own come first, as in a fresh interpreter.

    The zygote has imported what the server needs; a bundle with a folder `serving` means its own.
    """
    with os.scandir(folder) as entries:
        own = [entry.name.removesuffix(".py") for entry in entries]
    # Looking at all of sys.modules would copy every page that their names are on: half a millisecond.
    for shadowed in [name for name in own if name in sys.modules and _defines(folder, name)]:
        for name in [name for name in sys.modules if name.partition(".")[0] == shadowed]:
            del sys.modules[name]


def _defines(folder: Path, name: str) -> bool:
    return (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file()
