"""`python -m deblurzoo` is the command line."""

from deblurzoo.cli import main

main()
