"""
Quantities as Kubernetes writes them: `128Mi`, `0.5`, `250m`, `1e3`.

Exact arithmetic on decimals; what a quantity is for (memory, CPU) is not known here. What is too much for 63
bits is the most that they can say, as in Kubernetes. Source: Kubernetes' API conventions, "quantity".
"""

import math
import re
from decimal import Decimal

_SUFFIXES = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    **{suffix: Decimal(10 ** (3 * power)) for power, suffix in enumerate("kMGTPE", 1)},
    **{f"{suffix}i": Decimal(2 ** (10 * power)) for power, suffix in enumerate("KMGTPE", 1)},
}
_MOST = Decimal(2**63 - 1)
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i)?)")


def parse(quantity: object) -> Decimal:
    """The value of *quantity*, which JSON gives as a string or as a number; ValueError if it is not one."""
    if isinstance(quantity, bool) or not isinstance(quantity, str | int | float):
        raise ValueError(  # noqa: TRY004  what people wrote is wrong, not our call
            "quantities must be a string or a number, such as 128Mi or 0.5")
    match = _QUANTITY.fullmatch(str(quantity))
    if match is None:
        raise ValueError("quantities must match the regular expression "
                         "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    number, exponent, suffix = match.groups()
    value = Decimal(number + exponent) if exponent else Decimal(number) * _SUFFIXES[suffix or ""]
    return max(-_MOST, min(value, _MOST))


def whole_bytes(quantity: object) -> int:
    """Bytes in *quantity*, rounded up as Kubernetes does; ValueError if it is not one."""
    return math.ceil(parse(quantity))
