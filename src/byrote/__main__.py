"""`python -m byrote`."""

from byrote.cli import main

main()
