"""`python -m declouds` and `torchrun -m declouds` are the `declouds` command."""

from declouds.cli import main

main()
