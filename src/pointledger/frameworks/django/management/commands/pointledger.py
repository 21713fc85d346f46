"""`python manage.py pointledger ...` is the command line `pointledger`, with Django's settings."""

import sys
from argparse import REMAINDER, ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from pointledger.frameworks.command_line import run_command_line
from pointledger.frameworks.django.conf import given_settings


class Command(BaseCommand):
    """Runs the command line of the ledger. Exit statuses are its own."""

    help = "Run the command line of pointledger, with this project's settings: pointledger --help lists it."
    requires_system_checks = ()  # the command line checks what it needs
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take everything that follows as it is."""
        parser.add_argument("arguments", nargs=REMAINDER, help="a command of pointledger, and its arguments")

    def handle(self, *_: Any, arguments: list[str], **__: Any) -> None:
        """Run it. Raises SystemExit unless its exit status is 0."""
        if status := run_command_line("manage.py pointledger", arguments, given_settings()):
            sys.exit(status)
