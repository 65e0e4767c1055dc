"""`python -m eventing` is the command `clarion`."""

from eventing.cli import main

main()
