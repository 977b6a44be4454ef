"""The engine's options as one frozen value.

S1  Every field has its unit last in its name, and a default that suits a test; `node_id` alone is required.
S2  Nothing here reads the environment, a file or the machine: whoever builds a Settings has resolved `20%` and `~` before.

Held by tests/unit/flightserver/test_config.py (S1) and tests/unit/flightserver/test_imports.py (S2).
Elsewhere: flags, variables and help (flightserver.config); where objects are stored (engine.storage.open.StoreOptions).
"""

from dataclasses import dataclass

MINUTE_NS = 60 * 1_000_000_000
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    node_id: str
    cluster_id: str | None = None  # whose catalog it shares; None: it has its own
    catalog_sync_interval_ms: int = 500  # how often the other nodes' changes of a shared catalog are looked for

    # write-ahead log
    wal_flush_interval_ms: int = 1_000
    wal_max_buffered_writes: int = 100_000
    wal_files_per_snapshot: int = 600
    snapshotted_wal_files_to_keep: int | None = None  # None: 300 objects of a remote store, no segment of a local one
    wal_replay_fail_on_error: bool = False

    # settling into Parquet
    gen1_duration_ns: int = 10 * MINUTE_NS
    force_snapshot_mem_bytes: int = 1024 * MIB
    snapshot_concurrency: int = 1

    # memory
    buffer_mem_limit_bytes: int = 2048 * MIB
    exec_mem_pool_bytes: int = 1024 * MIB
    file_cache_bytes: int = 1024 * MIB  # 0: no cache

    # admission
    max_http_request_size_bytes: int = 10 * MIB
    extend_tags: bool = False
    database_limit: int | None = None
    table_limit: int | None = None
    column_limit: int | None = None

    # queries
    query_file_limit: int | None = None
    concurrent_query_limit: int | None = None
    query_threads: int | None = None  # None: one per core
    query_timeout_ms: int | None = None  # None: a query may take as long as it takes
    query_log_max_entries: int = 1_000

    # who is asked for a token: here it decides only what is shown of tokens
    with_tokens: bool = True

    # for people who ask the catalog how this server was started: JSON, without secrets
    cli_params: str | None = None

    # housekeeping
    delete_grace_period_ms: int = 24 * 3_600_000
    retention_check_interval_ms: int = 30 * 60_000
    hard_delete_default_ms: int = 72 * 3_600_000
    shutdown_timeout_ms: int = 30_000
