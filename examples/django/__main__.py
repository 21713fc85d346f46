"""Starts the shop: `python -m examples.django 127.0.0.1:8010`."""

import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "examples.django.settings")

if __name__ == "__main__":
    execute_from_command_line(["manage.py", "migrate"])
    execute_from_command_line(["manage.py", "runserver", "--noreload", *sys.argv[1:]])
