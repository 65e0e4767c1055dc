"""How many workers a revision should have, and who sees to it."""
