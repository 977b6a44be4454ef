"""SHOW: which of it SQL has here, and what is said of the rest.

H1  SHOW TABLES lists the database's tables, those of `system` and the views of information_schema, in this order and each of
    the first two by name.
H2  A SHOW that only InfluxQL or other servers have is refused with what to ask instead. SHOW COLUMNS, ALL, FUNCTIONS and
    settings go to the planner as they came.

Held by tests/unit/engine/query/test_show.py (H1, H2).
"""

import re
from collections.abc import Mapping

from engine.query.messages import QueryRefused

VIEWS = ("tables", "views", "columns", "df_settings", "schemata", "routines", "parameters")

_SHOW = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*show\s+", re.IGNORECASE | re.DOTALL)
_TABLES = f"""
SELECT * FROM information_schema.tables
ORDER BY table_type, table_schema, CASE table_type WHEN 'VIEW' THEN strpos('{" ".join(VIEWS)}', table_name) END, table_name
"""
_IN_INTERNAL = "in the database _internal"
_COLUMNS = "use SHOW COLUMNS FROM a table, or SELECT * FROM system.influxdb_schema"
_INSTEAD: Mapping[str, str] = {
    "tables": "use SELECT * FROM information_schema.tables WHERE …",
    "full tables": "use SELECT * FROM information_schema.tables",
    "databases": f"use SELECT database_name FROM system.databases {_IN_INTERNAL}, or influxdb3 show databases",
    "schemas": "use SELECT schema_name FROM information_schema.schemata",
    "views": "use SELECT * FROM information_schema.views",
    "variables": "use SHOW ALL",
    "queries": "use SELECT * FROM system.queries",
    "processlist": "use SELECT * FROM system.queries WHERE running",
    "measurements": "use SHOW TABLES",
    "tag keys": _COLUMNS,
    "tag values": "use SELECT DISTINCT a tag FROM a table",
    "field keys": _COLUMNS,
    "series": "use SELECT DISTINCT the tags FROM a table",
    "retention policies": f"use SELECT database_name, retention_period_ns FROM system.databases {_IN_INTERNAL}",
    "tokens": f"use SELECT * FROM system.tokens {_IN_INTERNAL}",
    "users": f"use SELECT * FROM system.tokens {_IN_INTERNAL}",
    "grants": f"use SELECT name, permissions FROM system.tokens {_IN_INTERNAL}",
}


def as_select(text: str) -> str:
    """The statement that is to be planned for this one."""
    show = _SHOW.match(text)
    if show is None:
        return text
    asked = text[show.end() :].rstrip().removesuffix(";").rstrip()
    if asked.lower() == "tables":
        return _TABLES
    words = asked.lower().split()
    for wanted in (" ".join(words[:2]), words[0] if words else ""):
        if wanted in _INSTEAD:
            raise QueryRefused(f"SHOW {' '.join(asked.split())[:60]} is not supported: {_INSTEAD[wanted]}")
    return text
