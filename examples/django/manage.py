"""Django's commands for the shop: `python -m examples.django.manage pointledger account shop anna`."""

import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "examples.django.settings")

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
