"""What statements may take, what is kept in memory for them, and how much there may be of what they read."""

from flightserver.options.absent import NO_CACHES
from flightserver.options.declared import Option, variable
from flightserver.options.kinds import count, duration_ms, flag, positive, size_bytes, text

MEMORY_AND_QUERIES: tuple[Option, ...] = (
    Option(
        flag="--buffer-mem-limit",
        help="Memory for rows not in files yet; beyond it writes get a 503.",
        group="Memory and queries",
        kind=size_bytes,
        value_name="SIZE",
        default="50%",
        sets="settings.buffer_mem_limit_bytes",
        common=True,
    ),
    Option(
        flag="--exec-mem-pool-size",
        help="Memory for running queries.",
        group="Memory and queries",
        kind=size_bytes,
        value_name="SIZE",
        default="20%",
        sets="settings.exec_mem_pool_bytes",
        also=("--exec-mem-pool-bytes",),
    ),
    Option(
        flag="--file-cache-size",
        help="Memory for rows of settled files.",
        group="Memory and queries",
        kind=size_bytes,
        value_name="SIZE",
        default="20%",
        sets="settings.file_cache_bytes",
        also=("--parquet-mem-cache-size",),
    ),
    Option(
        flag="--disable-file-cache",
        help="Keep no settled file in memory.",
        group="Memory and queries",
        kind=flag,
        sets="serve.disable_file_cache",
        also=("--disable-parquet-mem-cache",),
    ),
    Option(
        flag="--file-cache-recency",
        help="Age up to which files are cached.",
        group="Memory and queries",
        kind=text,
        value_name="DURATION",
        also=("--parquet-mem-cache-query-path-duration",),
        no_effect="what is used stays in memory, whatever its age",
    ),
    Option(
        flag="--parquet-mem-cache-prune-percentage",
        help="Share of the cache that is dropped at a time.",
        group="Memory and queries",
        kind=text,
        value_name="SHARE",
        no_effect="the cache drops what it has to",
    ),
    Option(
        flag="--parquet-mem-cache-prune-interval",
        help="How often the cache is pruned.",
        group="Memory and queries",
        kind=text,
        value_name="DURATION",
        no_effect="the cache never exceeds its size",
    ),
    Option(
        flag="--table-index-cache-max-entries",
        help="Tables whose file list is in memory.",
        group="Memory and queries",
        kind=text,
        value_name="N",
        no_effect="all file lists are in memory",
    ),
    Option(
        flag="--table-index-cache-concurrency-limit",
        help="File lists read at the same time.",
        group="Memory and queries",
        kind=text,
        value_name="N",
        no_effect="all file lists are in memory",
    ),
    Option(
        flag="--query-file-limit",
        help="Most Parquet files a query may read; no limit unless set.",
        group="Memory and queries",
        kind=positive,
        value_name="N",
        sets="settings.query_file_limit",
    ),
    Option(
        flag="--query-log-max-entries",
        help="Queries that system.queries remembers.",
        group="Memory and queries",
        kind=count,
        value_name="N",
        sets="settings.query_log_max_entries",
        default="1000",
        also=("--query-log-size",),
    ),
    Option(
        flag="--max-concurrent-queries",
        help="Queries that run at the same time; the others wait. No limit unless set.",
        group="Memory and queries",
        kind=positive,
        value_name="N",
        sets="settings.concurrent_query_limit",
    ),
    Option(
        flag="--query-timeout",
        help="Longest time of a query, waiting for its turn included. No limit unless set.",
        group="Memory and queries",
        kind=duration_ms,
        value_name="DURATION",
        sets="settings.query_timeout_ms",
    ),
    Option(
        flag="--num-datafusion-threads",
        help="Threads that work on queries; default: one per core.",
        group="Memory and queries",
        kind=positive,
        value_name="N",
        sets="settings.query_threads",
        also=("--datafusion-num-threads",),
    ),
    Option(
        flag="--datafusion-config",
        help="Options of the SQL engine.",
        group="Memory and queries",
        kind=text,
        value_name="K:V,…",
        allowed=("",),
        unsupported="the SQL engine's own options cannot be set yet",
    ),
    Option(
        flag="--datafusion-max-parquet-fanout",
        help="Files merged without sorting.",
        group="Memory and queries",
        kind=text,
        value_name="N",
        no_effect="files are merged without such a limit",
    ),
    Option(
        flag="--datafusion-use-cached-parquet-loader",
        help="Read files through the cache.",
        group="Memory and queries",
        kind=flag,
        no_effect="--disable-file-cache decides",
    ),
    *(
        Option(
            flag=each,
            help="How often expired cache entries are dropped.",
            group="Memory and queries",
            kind=text,
            value_name="DURATION",
            no_effect=NO_CACHES,
        )
        for each in ("--last-cache-eviction-interval", "--distinct-cache-eviction-interval")
    ),
    *(
        Option(
            flag=each,
            help="Fill a cache from new data only.",
            group="Memory and queries",
            kind=flag,
            env=(variable(each), "INFLUXDB3_ENTERPRISE_" + variable(each)[10:]),
            no_effect=NO_CACHES,
        )
        for each in ("--last-value-cache-disable-from-history", "--distinct-value-cache-disable-from-history")
    ),
)


LIMITS: tuple[Option, ...] = (
    *(
        Option(
            flag=each,
            help=f"{what}; no limit unless set.",
            group="Limits",
            kind=positive,
            value_name="N",
            sets=f"settings.{field}",
            env=(variable(each), "INFLUXDB3_ENTERPRISE_" + variable(each)[10:]),
        )
        for each, what, field in (
            ("--num-database-limit", "Most databases", "database_limit"),
            ("--num-table-limit", "Most tables in all databases", "table_limit"),
            ("--num-total-columns-per-table-limit", "Most columns of a table, beside time", "column_limit"),
        )
    ),
    Option(
        flag="--num-cores",
        help="Cores that the server may use.",
        group="Limits",
        kind=positive,
        value_name="N",
        sets="serve.cores",
        env=("INFLUXDB3_NUM_CORES", "INFLUXDB3_ENTERPRISE_NUM_CORES"),
    ),
)
