"""The function that a spare worker serves to itself before it waits (serving/newborn.py)."""


def handle(_event: object) -> None:
    """Do nothing; it is the way here that matters."""
