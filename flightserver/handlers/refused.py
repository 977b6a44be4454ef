"""Actions of the standard that this server knows by name only: each is refused with the sentence that says what to do.

They are not listed by ListActions, which shows what works.
"""

from collections.abc import Mapping

from catalog.errors import UnsupportedFeature

_NO_TRANSACTIONS = "transactions are not supported: every statement is durable by itself"
_NO_SUBSTRAIT = "Substrait plans are not supported"

REFUSED: Mapping[str, tuple[str, str]] = {
    "BeginTransaction": (_NO_TRANSACTIONS, "use autocommit"),
    "EndTransaction": (_NO_TRANSACTIONS, "use autocommit"),
    "BeginSavepoint": (_NO_TRANSACTIONS, "use autocommit"),
    "EndSavepoint": (_NO_TRANSACTIONS, "use autocommit"),
    "CreatePreparedSubstraitPlan": (_NO_SUBSTRAIT, "send the statement as SQL"),
    "RenewFlightEndpoint": ("endpoints do not expire: there is nothing to renew", "redeem the ticket as it is"),
}


def unknown_action(name: str) -> UnsupportedFeature:
    if name in REFUSED:
        sentence, hint = REFUSED[name]
        return UnsupportedFeature(sentence, hint=hint)
    return UnsupportedFeature(f"unknown action: {name}")
