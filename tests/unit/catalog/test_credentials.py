"""How a token is sent (L1-L4)."""

import base64

import pytest

from catalog.credentials import MALFORMED, MalformedCredential, bearer, token_of, without_tokens
from catalog.tokens import new_secret


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer apiv3_x", "apiv3_x"),
        ("Token apiv3_x", "apiv3_x"),
        (basic("ann:apiv3_x"), "apiv3_x"),
        (basic(":apiv3_x"), "apiv3_x"),
        (basic("ann:apiv3_xy").rstrip("="), "apiv3_xy"),
        (bearer("t"), "t"),
        (basic("ann:"), None),
        ("", None),
        (None, None),
    ],
)
def test_each_form_holds_its_token(header: str | None, token: str | None) -> None:
    """L1-L3."""
    assert token_of(header) == token


@pytest.mark.parametrize(
    "header",
    [
        "bearer apiv3_x",
        "BEARER apiv3_x",
        "token apiv3_x",
        "basic " + base64.b64encode(b"a:b").decode(),
        "Bearer",
        "Bearer ",
        "Bearer  apiv3_x",
        "Bearer apiv3_x more",
        "apiv3_x",
        "Digest apiv3_x",
        "Basic %%%",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b"a:b:c").decode(),
        "Basic " + base64.b64encode(b"a:\xff").decode(),
    ],
)
def test_anything_else_is_malformed(header: str) -> None:
    """L1."""
    with pytest.raises(MalformedCredential) as refused:
        token_of(header)
    assert str(refused.value) == MALFORMED


def test_a_text_for_people_loses_its_tokens() -> None:
    """L4."""
    secret = new_secret()

    assert without_tokens(f"GET /write?p={secret}&db=a by '{secret}'") == "GET /write?p=apiv3_…&db=a by 'apiv3_…'"
    assert without_tokens("nothing to hide") == "nothing to hide"
