"""`python -m shepherd` is the command `shepherd`."""

from shepherd.cli import main

main()
