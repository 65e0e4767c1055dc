"""
The text of a CEL expression as tokens; and written anew where the library would take long. Pure.

    data.orders[0].lines       is evaluated as       data["orders"][0]["lines"]

The two mean the same, but the library copies what it finds in a field, each time: 30 ns an element of a list,
400 ns a key of a map. What it finds by an index it does not copy. `has` takes nothing but fields.
"""

import re
from typing import NamedTuple

Path = tuple[str, ...]  # names, as in a.b.c
Steps = tuple[str | int, ...]  # names and indexes, as in a.b[0]["c"]

_TOKEN = re.compile(r'''
    (?P<space>\s+|//[^\n\r]*)
  | (?P<text>[bB]?(?:[rR](?:"""(?:.*?)"""|\'\'\'(?:.*?)\'\'\'|"[^"\n\r]*"|'[^'\n\r]*')
      |"""(?:\\.|[^\\])*?"""|\'\'\'(?:\\.|[^\\])*?\'\'\'|"(?:\\.|[^"\\\n\r])*"|'(?:\\.|[^'\\\n\r])*'))
  | (?P<word>[A-Za-z_]\w*)
  | (?P<number>\d+(?:\.\d+)?\w*)
  | (?P<sign>&&|\|\||[<>=!]=|.)
''', re.VERBOSE | re.DOTALL)


# Of an index: a number, or a text without escapes.
_CONSTANT = re.compile(r"""\d+\Z|"[^"\\]*"\Z|'[^'\\]*'\Z""")


class Token(NamedTuple):
    """A word, number, text or sign, and where it stands."""

    kind: str
    text: str
    position: int


_NONE = Token("", "", 0)


class Tokens(list[Token]):
    """Those of one expression, without white space and comments."""

    def __init__(self, text: str) -> None:
        """Read *text*, which need not be an expression."""
        super().__init__(Token(str(match.lastgroup), match[0], match.start())
                         for match in _TOKEN.finditer(text) if match.lastgroup != "space")

    def at(self, index: int) -> Token:
        """The token at *index*; one without text where there is none."""
        return self[index] if 0 <= index < len(self) else _NONE

    def is_value(self, index: int) -> bool:
        """Whether a value ends with the token at *index*, so that what follows may select a part of it."""
        kind, text, _ = self.at(index)
        return kind == "text" or (kind == "word" and text != "in") or text in {")", "]", "}"}

    def path_before(self, index: int) -> Path:
        """Names of the path (`a.b.c`) that ends before *index*; none where something else does."""
        names = [self.at(index - 1)]
        while self.at(index - len(names) * 2).text == ".":
            names.append(self.at(index - len(names) * 2 - 1))
        return tuple(name.text for name in reversed(names)) if all(
            name.kind == "word" for name in names) else ()

    def receiver_before(self, index: int) -> Steps:
        """The path (`a.b[0]["c"]`) that ends before *index*; nothing where something else does."""
        steps: list[str | int] = []
        at = index - 1
        while True:
            inside = self.at(at - 1)
            if self.at(at).kind == "word":
                steps.append(self.at(at).text)
                if inside.text != ".":
                    return tuple(reversed(steps))
                at -= 2
            elif (self.at(at).text == "]" and _CONSTANT.match(inside.text)
                    and self.at(at - 2).text == "[" and self.is_value(at - 3)):
                steps.append(int(inside.text) if inside.kind == "number" else inside.text[1:-1])
                at -= 3
            else:
                return ()

    def path_from(self, index: int) -> tuple[Path, str]:
        """Names of the path that begins at *index*, none where something else does; and what follows it."""
        end = index + 1
        while self.at(end).text == "." and self.at(end + 1).kind == "word":
            end += 2
        return self.path_before(end), self.at(end).text


def place(text: str, position: int) -> str:
    """Line and column of *position* in *text*, both from 1."""
    return f"{text.count(chr(10), 0, position) + 1}:{position - text.rfind(chr(10), 0, position)}"


def indexed(text: str) -> str:
    """*text*, an expression that compiles, with indexes for fields: see the module's docstring."""
    found = Tokens(text)
    written, end = "", 0
    is_has: list[bool] = []  # of the brackets that are open
    for index, (_, sign, position) in enumerate(found):
        if sign in {"(", "[", "{"}:
            is_has.append(found.at(index - 1).text == "has" and found.at(index - 2).text != ".")
        elif sign in {")", "]", "}"} and is_has:
            is_has.pop()
        name, after = found.at(index + 1), found.at(index + 2).text
        if sign != "." or name.kind != "word" or after in {"(", "{"} or not found.is_value(index - 1):
            continue
        if after == ")" and any(is_has):
            continue
        written += f'{text[end:position]}["{name.text}"]'
        end = name.position + len(name.text)
    return written + text[end:]
