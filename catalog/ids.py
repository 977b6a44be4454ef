"""Numbers that things keep for life. A name can pass from one thing to another, an id never does.

Elsewhere: who hands them out (state.py: `next_database_id`; schema.py: `next_table_id`).
"""

from typing import NewType

DatabaseId = NewType("DatabaseId", int)
TableId = NewType("TableId", int)
"""Counted within its database, from 0."""
NodeNumber = NewType("NodeNumber", int)
"""The catalog's own number of a node; what people call the node id is its name."""

INTERNAL_DATABASE_ID = DatabaseId(0)
FIRST_DATABASE_ID = DatabaseId(1)
FIRST_TABLE_ID = TableId(0)
FIRST_NODE_NUMBER = NodeNumber(0)
