"""Tokens as actions, JSON in and JSON out: made, replaced, deleted and listed.

Held by tests/integration/flight/test_tokens.py.
Elsewhere: what happens then (flightserver.tokens), the HTTP endpoints (httpapi.routes.tokens).
"""

from collections.abc import Callable, Mapping

import pyarrow as pa

from catalog.access import ADMIN, OPEN, Access
from catalog.credentials import TokensAreOff
from catalog.errors import InvalidRequest
from flightserver import wire
from flightserver.handlers.actions import Action, Arguments
from flightserver.handlers.call import Call
from flightserver.tokens import TokenKeeper, Wish

_SECONDS_MAX = 1 << 40


def token_actions(keeper: TokenKeeper | None) -> list[Action]:
    """Without a keeper, which a server without authentication does not have, each of them says so."""

    def verb(
        name: str, arguments: str, act: Callable[[TokenKeeper, Call, Arguments], Mapping[str, object]], access: Access
    ) -> Action:
        def run(call: Call, body: pa.Buffer) -> list[bytes]:
            if keeper is None:
                raise TokensAreOff
            return [wire.encode_json(act(keeper, call, Arguments(body)))]

        return Action(wire.ADMIN + name, f"JSON in, JSON out: {arguments}", run, access, audited=name != "list_tokens")

    return [
        verb("create_operator_token", "nothing; the first token, made once", _create_operator, OPEN),
        verb("regenerate_operator_token", "nothing; another text for the first token", _regenerate_operator, ADMIN),
        verb("create_admin_token", "name, expiry_secs", _create_admin, ADMIN),
        verb("create_resource_token", "name, permissions: [{kind, names, actions}], expiry_secs", _create_resource, ADMIN),
        verb("delete_token", "name", _delete, ADMIN),
        verb("list_tokens", "nothing", _list_all, ADMIN),
    ]


def _create_operator(keeper: TokenKeeper, call: Call, arguments: Arguments) -> Mapping[str, object]:
    arguments.done()
    return keeper.create_operator()


def _regenerate_operator(keeper: TokenKeeper, call: Call, arguments: Arguments) -> Mapping[str, object]:
    arguments.done()
    return keeper.regenerate_operator(call.identity)


def _create_admin(keeper: TokenKeeper, call: Call, arguments: Arguments) -> Mapping[str, object]:
    name, expiry_secs = arguments.take("name", (str,)), _expiry_secs(arguments)
    arguments.done()
    return keeper.create_admin(name, expiry_secs, call.identity)


def _create_resource(keeper: TokenKeeper, call: Call, arguments: Arguments) -> Mapping[str, object]:
    name, expiry_secs = arguments.take("name", (str,)), _expiry_secs(arguments)
    wishes = [_wish(each) for each in arguments.take("permissions", (list,))]
    arguments.done()
    if not wishes:
        raise InvalidRequest("cannot parse token permission, a token needs at least one")
    return keeper.create_resource(name, wishes, expiry_secs, call.identity)


def _delete(keeper: TokenKeeper, call: Call, arguments: Arguments) -> Mapping[str, object]:
    name = arguments.take("name", (str,))
    arguments.done()
    keeper.delete(name)
    return {}


def _list_all(keeper: TokenKeeper, call: Call, arguments: Arguments) -> Mapping[str, object]:
    arguments.done()
    return {"tokens": keeper.list()}


def _expiry_secs(arguments: Arguments) -> int | None:
    seconds: int | None = arguments.take("expiry_secs", (int,), needed=False)
    if seconds is not None and not 0 <= seconds < _SECONDS_MAX:
        raise InvalidRequest("argument 'expiry_secs' must be a number of seconds")
    return seconds


def _wish(given: object) -> Wish:
    match given:
        case {"kind": str(kind), "names": list(names), "actions": list(actions)}:
            if all(isinstance(text, str) for text in (*names, *actions)):
                return Wish(kind, names, actions)
    raise InvalidRequest("a permission has a kind, names and actions")
