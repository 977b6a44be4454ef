"""What things may be called.

N1  A database that a client can create has a name that both validators of its door accept; `_internal` passes neither.
N2  A database name holds at most one `/`, between a database and a retention policy of the v1 API.
N3  No column is called `time` (it is there already) or `__chunk_order`; other tables and columns may have any name
    that is valid Unicode and not empty.

Held by tests/unit/catalog/test_names.py (N1-N3). The texts are part of the API: clients and their tests compare them.
Elsewhere: names made by a soft delete (changes.py).
"""

from catalog.errors import InvalidRequest

INTERNAL_DATABASE = "_internal"
TIME_COLUMN = "time"
RESERVED_COLUMNS = frozenset({TIME_COLUMN, "__chunk_order"})
DEFAULT_RETENTION_POLICY = "autogen"

DATABASE_NAME_MAX_BYTES = 511  # v1 allowed 255 for each half
NAMESPACE_NAME_MAX_CHARACTERS = 64

_RETENTION_POLICY_SEPARATOR = "/"
_MEANS_NO_RETENTION_POLICY = frozenset({"", "''", DEFAULT_RETENTION_POLICY, "default"})


class InvalidDatabaseName(InvalidRequest):
    """A name that no database can have."""

    code = "invalid_database_name"


class InvalidColumn(InvalidRequest):
    """A column that a table cannot have."""

    code = "invalid_column"


_EMPTY = "db name cannot be empty"
_TOO_LONG = f"db name too long: max {DATABASE_NAME_MAX_BYTES}"
_BAD_START = "db name did not start with a number or letter"
_BAD_CHARACTER = (
    "invalid character in database or rp name: must be ASCII, containing only letters, numbers, underscores, or hyphens"
)
_BAD_RETENTION_POLICY = (
    "db name with invalid retention policy, if providing a retention policy name, must be of form '<db_name>/<rp_name>'"
)


def check_database_name(name: str) -> None:
    """The rules of every door. Of several broken rules the first in reading order is told."""
    problem = _problem_of_database_name(name)
    if problem is not None:
        raise InvalidDatabaseName(problem)


def _problem_of_database_name(name: str) -> str | None:
    if not name:
        return _EMPTY
    if len(name.encode("utf-8", "surrogatepass")) > DATABASE_NAME_MAX_BYTES:
        return _TOO_LONG
    if not name[0].isascii():
        return _BAD_CHARACTER
    if not name[0].isalnum():
        return _BAD_START
    separators = 0
    for character in name[1:]:
        if character == _RETENTION_POLICY_SEPARATOR:
            separators += 1
            if separators > 1:
                return _BAD_RETENTION_POLICY
        elif not (character.isascii() and (character.isalnum() or character in "_-")):
            return _BAD_CHARACTER
    return _BAD_RETENTION_POLICY if name.endswith(_RETENTION_POLICY_SEPARATOR) else None


def check_namespace_name(name: str) -> None:
    """What the v1 and v2 write doors check before `check_database_name`."""
    if not 1 <= len(name) <= NAMESPACE_NAME_MAX_CHARACTERS:
        raise InvalidDatabaseName(
            f"namespace name {name} length must be between 1 and {NAMESPACE_NAME_MAX_CHARACTERS} characters"
        )
    for number, character in enumerate(name):
        if not (character.isalnum() or character in "/_-"):
            raise InvalidDatabaseName(
                f"namespace name '{name}' contains invalid character, character number {number} is not allowed"
            )


def with_retention_policy(database: str, retention_policy: str | None) -> str:
    """The database that the v1 API means by `db` and `rp`."""
    policy = (retention_policy or "").lower()
    if policy in _MEANS_NO_RETENTION_POLICY:
        return database
    return f"{database}{_RETENTION_POLICY_SEPARATOR}{policy}"


def split_retention_policy(name: str) -> tuple[str, str]:
    """The two halves of a database name for the v1 API; `autogen` when it has only one."""
    database, separator, policy = name.partition(_RETENTION_POLICY_SEPARATOR)
    return database, policy if separator else DEFAULT_RETENTION_POLICY


def check_column_name(name: str) -> None:
    if name in RESERVED_COLUMNS:
        raise InvalidColumn(f"'{name}' is a reserved column", column=name)
    _check_text(name, "column")


def check_table_name(name: str) -> None:
    _check_text(name, "table")


def _check_text(name: str, what: str) -> None:
    if not name:
        raise InvalidRequest(f"a {what} needs a name")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(f"{what} name {name!r} is not valid Unicode") from None
