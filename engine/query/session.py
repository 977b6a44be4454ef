"""A planner's session: where statements find their tables, and what they may use.

Held by tests/integration/engine/test_query.py.
"""

from collections.abc import Mapping

from datafusion import RuntimeEnvBuilder, SessionConfig, SessionContext
from datafusion.catalog import Catalog, SchemaProvider

from engine.query.statement import CATALOG

#: rows that an operator hands on at once
BATCH_ROWS = 8_192


def runtime_of(memory_bytes: int) -> RuntimeEnvBuilder:
    """One for all statements that share the memory. What does not fit is spilled to disk, where an operator can."""
    return RuntimeEnvBuilder().with_disk_manager_os().with_fair_spill_pool(memory_bytes)


def new_session(
    schemas: Mapping[str, SchemaProvider], runtime: RuntimeEnvBuilder, threads: int, searches: int = 0
) -> SessionContext:
    """`searches`: how often the statement looks through a text of a row; rows then come in smaller batches, so that it can be
    stopped between two of them."""
    config = (
        SessionConfig()
        .with_default_catalog_and_schema(CATALOG, "iox")
        .with_information_schema(True)
        .set("datafusion.sql_parser.map_string_types_to_utf8view", "false")
        .with_target_partitions(threads)
        .with_batch_size(BATCH_ROWS // (1 + min(searches, 512) // 8))
    )
    context = SessionContext(config, runtime)
    catalog = Catalog.memory_catalog(context)
    for name, schema in schemas.items():
        catalog.register_schema(name, schema)
    context.register_catalog_provider(CATALOG, catalog)
    return context
