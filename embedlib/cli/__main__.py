"""``python -m embedlib.cli``."""

from embedlib.cli import main

main()
