"""What every verb shares: how it fails.

A verb is one file in this package with a `command` (a click.Command named after the file); main.py finds it there.
What is wrong with its arguments is a click.UsageError: `error: …`, a usage line, exit 2.
"""


class CommandError(Exception):
    """Printed as `<Verb> command failed: <message>`, exit 1."""
