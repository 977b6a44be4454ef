"""`influxdb3 create token` and `delete token`.

O1  A token's text is printed once, on the standard output, and goes nowhere else (with --offline: into a file of mode 0600).
O2  A token that could not be made is told on the standard output with exit 0: scripts written for InfluxDB 3 read it there.

Held by tests/integration/cli/test_tokens.py (O1, O2).
Elsewhere: what tokens are (catalog.tokens), files of tokens (flightserver.token_files).
"""

import json
import os
import secrets
import sys
import time

from catalog.durations import SECOND_NS, parse_duration_ns
from flightserver.cli.answers import Refused
from flightserver.cli.console import CommandError, confirm, styled
from flightserver.cli.delete import ask
from flightserver.cli.parsing import Given, UsageError
from flightserver.cli.remote import open_server

OPERATOR = "_admin"
KEEP_IT = "Store this token securely, as it will not be shown again."


def create(given: Given) -> None:
    _check(given)
    if "--offline" in given:
        token = f"apiv3_{secrets.token_urlsafe(64)}"
        _save(given, token)
        print(f"Token saved to: {given.text('--output-file')}")
        _show(given, token)
        return
    question = "Are you sure you want to regenerate admin token? Enter 'yes' to confirm"
    if "--regenerate" in given and "--yes" not in given and not confirm(question, "yes", stream=sys.stdout):
        raise CommandError("Cannot regenerate token without confirmation")
    path, document = _request(given)
    try:
        answer = open_server(given).call("POST", path, document=document)
    except Refused as error:
        message = json.dumps(error.sentence, ensure_ascii=False)
        print(f"Failed to create token, error: ApiError {{ code: {error.answer.status}, message: {message} }}")
        return
    _show(given, json.loads(answer)["token"])


def delete(given: Given) -> None:
    name = given.text("--token-name")
    if name == OPERATOR:
        print(
            f'The operator token "{OPERATOR}" is required and cannot be deleted. To regenerate an operator token, '
            "use: influxdb3 create token --admin --regenerate --token [TOKEN]"
        )
        return
    ask(given, f'"{name}"')
    open_server(given).call("DELETE", "/api/v3/configure/token", {"token_name": name})
    print(f'Token "{name}" deleted successfully')


def _check(given: Given) -> None:
    def wrong(message: str) -> UsageError:
        return UsageError(message, "create token")

    if "--admin" not in given and "--permission" not in given:
        raise wrong("Missing required subcommand. Use: influxdb3 create token --admin [OPTIONS]")
    if "--admin" in given and "--permission" in given:
        raise wrong("the argument '--admin' cannot be used with '--permission <PERMISSION>'")
    if "--regenerate" in given and "--name" in given:
        raise wrong("--regenerate cannot be used with --name, --regenerate only applies for operator token")
    if "--permission" in given and "--name" not in given:
        raise wrong("the following required arguments were not provided:\n  --name <NAME>")
    if "--expiry" in given and "--admin" in given and "--name" not in given and "--offline" not in given:
        raise wrong("--expiry needs --name: the operator token does not expire")
    if "--offline" in given and "--output-file" not in given:
        raise wrong("the following required arguments were not provided:\n  --output-file <FILE>")


def _request(given: Given) -> tuple[str, object]:
    if "--regenerate" in given:
        return "/api/v3/configure/token/admin/regenerate", None
    if "--admin" in given and "--name" not in given:
        return "/api/v3/configure/token/admin", None
    document = {"token_name": given.text("--name"), "expiry_secs": _expiry_secs(given)}
    if "--admin" in given:
        return "/api/v3/configure/token/named_admin", document
    return "/api/v3/enterprise/configure/token", {**document, "permissions": list(map(_permission, given.each("--permission")))}


def _expiry_secs(given: Given) -> int | None:
    text = given.find("--expiry")
    return None if text is None else parse_duration_ns(text) // SECOND_NS


def _permission(text: str) -> dict[str, object]:
    """`db:a,b:read,write`."""
    parts = text.split(":")
    if len(parts) != 3 or not all(parts):
        raise UsageError(
            f"invalid value '{text}' for '--permission <PERMISSION>': expected resource:names:actions, "
            "as db:sensors:read,write",
            "create token",
        )
    kind, names, actions = parts
    return {"resource_type": kind, "resource_names": names.split(","), "actions": actions.split(",")}


def _save(given: Given, token: str) -> None:
    """A file for `serve --admin-token-file`, or one more token in a file for `--permission-tokens-file`."""
    file = given.text("--output-file")
    entry: dict[str, object] = {"token": token, "name": given.find("--name") or OPERATOR}
    if (seconds := _expiry_secs(given)) is not None:
        entry["expiry_millis"] = time.time_ns() // 1_000_000 + seconds * 1000
    document: dict[str, object] = entry
    try:
        if "--permission" in given:
            for text in given.each("--permission"):
                _permission(text)
            document = _with_token(file, {**entry, "permissions": given.each("--permission")}, given.each("--create-databases"))
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as stream:
            os.fchmod(descriptor, 0o600)
            json.dump(document, stream, indent=2)
            stream.write("\n")
    except OSError as error:
        raise CommandError(f"cannot write {file}: {error.strerror}") from None


def _with_token(file: str, entry: dict[str, object], databases: list[str]) -> dict[str, object]:
    found: dict[str, list[object]] = {"create_databases": [], "tokens": []}
    if os.path.exists(file):
        try:
            with open(file, encoding="utf-8") as stream:
                found |= json.load(stream)
        except (ValueError, TypeError):
            raise CommandError(f"{file} is there and is no file of tokens") from None
    known = [*found["create_databases"], *(name for name in databases if name not in found["create_databases"])]
    return {"create_databases": known, "tokens": [*found["tokens"], entry]}


def _show(given: Given, token: str) -> None:
    if given.text("--format") == "json":
        header = f'HTTP requests require the following header: "Authorization: Bearer {token}"'
        print(json.dumps({"help_msg": f"{KEEP_IT} {header}", "token": token}, indent=2))
        return

    def bold(text: str, style: str = "1") -> str:
        return styled(text, style, sys.stdout)

    print(f"\n{bold('New token created successfully!', '4')}\n")
    print(f"{bold('Token:')} {token}")
    print(f"{bold('HTTP Requests Header:')} Authorization: Bearer {token}\n")
    print(f"{bold('IMPORTANT:', '31;1')} {KEEP_IT}\n")
