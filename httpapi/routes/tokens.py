"""Tokens are made, replaced and deleted.

    POST   /api/v3/configure/token/admin               the first one, by whoever comes first; 409 from then on
    POST   /api/v3/configure/token/admin/regenerate    another text for it
    POST   /api/v3/configure/token/named_admin         {"token_name", "expiry_secs"?}
    POST   /api/v3/enterprise/configure/token          {"token_name", "permissions": [{"resource_type", "resource_names",
                                                       "actions"}], "expiry_secs"?}
    DELETE /api/v3/configure/token?token_name=

M1  The text of a token is in the answer that made it and nowhere else.
M2  Each of these is one verb of the engine, which decides who may.

Held by tests/integration/http/test_tokens.py (M1, M2).
"""

from typing import Any

import orjson

from catalog.access import ADMIN, OPEN
from catalog.errors import InvalidRequest
from httpapi.calls import Call, Routes
from httpapi.parameters import Document, query_parameters, require, told_as
from httpapi.replies import OK, Reply

_JSON = "json"  # what clients of InfluxDB 3 get here as a content type
_SECONDS_MAX = 1 << 40


def create_operator_token(call: Call) -> Reply:
    """Makes the operator's token, once. No body."""
    return _created(call.gateway.admin("create_operator_token", {}, call.authorization))


def regenerate_operator_token(call: Call) -> Reply:
    """Replaces the operator's token; the old one stops working at once."""
    return _created(call.gateway.admin("regenerate_operator_token", {}, call.authorization))


def create_admin_token(call: Call) -> Reply:
    """Makes a token for an administrator. JSON: `token_name`, `expiry_secs`."""
    asked = call.json_body()
    payload = {"name": Document(asked).text("token_name"), "expiry_secs": _expiry_secs(asked)}
    return _created(call.gateway.admin("create_admin_token", payload, call.authorization))


def create_resource_token(call: Call) -> Reply:
    """Makes a token for some databases. JSON: `token_name`, `permissions`, `expiry_secs`."""
    asked = call.json_body()
    document = Document(asked)
    permissions = [
        {"kind": each.text("resource_type"), "names": _names(each), "actions": each.texts("actions")}
        for each in document.documents("permissions")
    ]
    payload = {"name": document.text("token_name"), "permissions": permissions, "expiry_secs": _expiry_secs(asked)}
    return _created(call.gateway.admin("create_resource_token", payload, call.authorization))


def delete_token(call: Call) -> Reply:
    """Deletes a token, which stops working at once. Parameter: `token_name`."""
    with told_as("serde error: {}"):
        asked = dict(query_parameters(call.query_string, ("token_name",)))
        require(asked, "token_name")
    call.gateway.admin("delete_token", {"name": asked["token_name"]}, call.authorization)
    return OK


def _names(permission: Document) -> list[str]:
    """Under the name that the server knows, or under the one that its documentation prints."""
    return permission.texts("resource_identifier" if permission.has("resource_identifier") else "resource_names")


def _expiry_secs(asked: dict[str, Any]) -> int | None:
    seconds = asked.get("expiry_secs")
    if seconds is None:
        return None
    if type(seconds) is not int or not 0 <= seconds < _SECONDS_MAX:
        raise InvalidRequest("serde json error: invalid type for `expiry_secs`, expected a number of seconds")
    return seconds


def _created(token: dict[str, Any]) -> Reply:
    return Reply(201, orjson.dumps(token), _JSON, headers=(("Cache-Control", "no-store"),))


ROUTES: Routes = (
    ("/api/v3/configure/token/admin", ["POST"], create_operator_token, OPEN),
    ("/api/v3/configure/token/admin/regenerate", ["POST"], regenerate_operator_token, ADMIN),
    ("/api/v3/configure/token/named_admin", ["POST"], create_admin_token, ADMIN),
    ("/api/v3/enterprise/configure/token", ["POST"], create_resource_token, ADMIN),
    ("/api/v3/configure/token", ["DELETE"], delete_token, ADMIN),
)
