"""`influxdb3 serve` with the small engine and the small application: python -m tests.helpers.small_serve OPTIONS."""

import importlib
import sys
from functools import partial

from flightserver import boot
from flightserver.children import python_command
from flightserver.cli.main import main

if __name__ == "__main__":
    parts = boot.Parts(tuple(python_command("-m", "tests.helpers.small_engine")), "tests.helpers.small_app:app", most_deaths=3)
    vars(importlib.import_module("flightserver.cli.serve"))["serve"] = partial(boot.serve, parts=parts)
    sys.exit(main(["serve", *sys.argv[1:]]))
