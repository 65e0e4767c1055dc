"""
What is wrong with a field, in Knative's words.

A validator returns a list of FieldError, empty when all is well. Lists are added; `via_field`,
`via_index` and `via_key` put a whole list under a parent's path. `render` makes the text that a person
sees: one line an error, equal messages merged with their paths, sorted (knative.dev/pkg/apis).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class FieldError:
    """One complaint: *message*, the paths it is about, and perhaps a detail for a line of its own."""

    message: str
    paths: tuple[str, ...] = ()
    details: str = ""

    def via_field(self, *prefix: str) -> "FieldError":
        """The same complaint seen from a parent: `via_field("spec")` makes `x` into `spec.x`."""
        return replace(self, paths=tuple(_join(*prefix, path) for path in self.paths))

    def via_index(self, index: int) -> "FieldError":
        """The same complaint about element *index* of a list: `x` becomes `[index].x`."""
        return self.via_field(f"[{index}]")

    def via_key(self, key: str) -> "FieldError":
        """The same complaint about member *key* of a map: `x` becomes `[key].x`."""
        return self.via_field(f"[{key}]")

    def __str__(self) -> str:
        """`message: path, path`, and the details below."""
        line = f"{self.message}: {', '.join(self.paths)}" if self.paths else self.message
        return f"{line}\n{self.details}" if self.details else line


def _join(*parts: str) -> str:
    return ".".join(part for part in parts if part).replace(".[", "[")


def via_field(errors: Iterable[FieldError], *prefix: str) -> list[FieldError]:
    """All *errors* seen from a parent."""
    return [error.via_field(*prefix) for error in errors]


def via_index(errors: Iterable[FieldError], index: int) -> list[FieldError]:
    """All *errors* as errors of element *index*."""
    return [error.via_index(index) for error in errors]


def via_key(errors: Iterable[FieldError], key: str) -> list[FieldError]:
    """All *errors* as errors of member *key*."""
    return [error.via_key(key) for error in errors]


def render(errors: Iterable[FieldError]) -> str:
    """The text of *errors*: merged by message and details, sorted, joined by newlines."""
    merged: dict[tuple[str, str], set[str]] = {}
    for error in errors:
        merged.setdefault((error.message, error.details), set()).update(error.paths)
    return "\n".join(str(FieldError(message, tuple(sorted(paths)), details))
                     for (message, details), paths in sorted(merged.items()))


def missing_field(*paths: str) -> FieldError:
    """A field that must be there is not."""
    return FieldError("missing field(s)", paths)


def disallowed_fields(*paths: str) -> FieldError:
    """A field that must not be there is."""
    return FieldError("must not set the field(s)", paths)


def invalid_value(value: object, path: str, details: str = "") -> FieldError:
    """The value is not one of those allowed."""
    return FieldError(f"invalid value: {shown(value)}", (path,), details)


def one_of_neither(*paths: str) -> FieldError:
    """Exactly one of *paths* was expected, and there is none."""
    return FieldError("expected exactly one, got neither", paths)


def one_of_both(*paths: str) -> FieldError:
    """Exactly one of *paths* was expected, and there are more."""
    return FieldError("expected exactly one, got both", paths)


def at_least_one(*paths: str) -> FieldError:
    """At least one of *paths* was expected."""
    return FieldError("expected at least one, got none", paths)


def out_of_bounds(value: object, lower: object, upper: object, path: str) -> FieldError:
    """The value is not between *lower* and *upper*, both allowed."""
    return FieldError(f"expected {shown(lower)} <= {shown(value)} <= {shown(upper)}", (path,))


def invalid_key_name(key: str, path: str, details: str = "") -> FieldError:
    """A map's key is not allowed."""
    return FieldError(f"invalid key name {json.dumps(key, ensure_ascii=False)}", (path,), details)


def generic(message: str, *paths: str) -> FieldError:
    """Any other complaint."""
    return FieldError(message, paths)


def immutable(old: Mapping[str, Any], new: Mapping[str, Any], type_name: str,
              *paths: str) -> list[FieldError]:
    """Complain if *new* differs from *old*; *type_name* as Go has it, say `v1.PingSourceSpec`."""
    if old == new:
        return []
    return [FieldError("Immutable fields changed (-old +new)", paths, short_diff(old, new, type_name))]


def short_diff(old: Mapping[str, Any], new: Mapping[str, Any], type_name: str) -> str:
    """Each leaf that differs, as knative.dev/pkg/kmp writes it: path, old and new value, a line each."""
    return "\n".join(_differences(old, new, f"{{{type_name}}}"))


def _differences(old: Any, new: Any, path: str) -> Iterable[str]:
    if old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key[:1].upper()}{key[1:]}")
        return
    lines = [f"{path}:"]
    if old is not None:
        lines.append(f"\t-: {json.dumps(old, ensure_ascii=False)}")
    if new is not None:
        lines.append(f"\t+: {json.dumps(new, ensure_ascii=False)}")
    yield "\n".join(lines)


def shown(value: object) -> str:
    """A JSON value as Go prints it: true and false in small letters, numbers and strings as they are."""
    if isinstance(value, bool):
        return str(value).lower()
    return "<nil>" if value is None else str(value)
