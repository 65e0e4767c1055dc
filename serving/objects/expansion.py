"""
References to variables in a container's command, arguments and variables: `$(NAME)`, as Kubernetes has them.

    $(NAME)     the value of NAME; unchanged where there is none
    $$(NAME)    `$(NAME)`, whatever its value
    $$          `$`
    other $     unchanged

Pure; nothing else of a shell is known here. Source: Kubernetes' `third_party/forked/golang/expansion`.
"""

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(?:(\$)|\(([^)]*)\))")


def expand(text: str, values: Mapping[str, str]) -> str:
    """*text* with what it refers to."""
    return _REFERENCE.sub(lambda found: "$" if found[1] else values.get(found[2], found[0]), text)
