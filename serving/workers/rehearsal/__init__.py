"""A bundle of our own, which newborn.py rehearses with; it knows nothing of the rest."""
