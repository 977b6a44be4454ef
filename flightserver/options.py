"""Every option of `influxdb3 serve`, declared once, as data.

O1  An option either sets one value (`sets`), or names in one sentence why this version cannot do it (`unsupported`), or says
    why it changes nothing (`already`: the server behaves like this anyway; `no_effect`: there is nothing here to tune).
O2  Its variable is INFLUXDB3_ and the flag in upper snake case, for older spellings too, unless `env` lists its names.
O3  A value never comes with an unparsed unit: `kind` turns the text into what `sets` expects, in the unit its name ends with.

Held by tests/unit/flightserver/test_config_declarations.py (O1, O2) and tests/unit/flightserver/test_config.py (O3).
Elsewhere: command line, environment, .env and what follows from the values together (config.py); the help text (cli/serve.py).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from catalog.access import RELEASABLE
from flightserver.units import parse_duration_ns, parse_size_bytes

Value = str | int | bool | tuple[str, int] | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Machine:
    """What defaults depend on."""

    memory_bytes: int
    cpus: int
    hostname: str
    home: Path


@dataclass(frozen=True, slots=True)
class Given:
    """One value as it was written: the flag or variable, and the text."""

    spelling: str
    text: str
    machine: Machine
    declared: "Option"

    @property
    def old_spelling(self) -> bool:
        return self.spelling.lower() not in (self.declared.flag, self.declared.env_names[0].lower())


Kind = Callable[[Given], Value]
Group = Literal[
    "Node and storage",
    "Network",
    "Object store",
    "Write-ahead log and settling",
    "Memory and queries",
    "Limits",
    "Access",
    "Logs",
    "Processing engine",
    "Several nodes",
    "Runtime",
    "License, telemetry and tests",
]


@dataclass(frozen=True, slots=True)
class Option:
    flag: str
    help: str
    group: Group
    kind: Kind
    value_name: str | None = None  # None: a flag without value
    sets: str | None = None
    default: str | None = None  # as it would be written
    also: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    unprefixed: tuple[str, ...] = ()  # variables that still work, with a warning
    short: str | None = None
    common: bool = False  # shown by --help, not only by --help-all
    bare_value: str | None = None  # what the flag alone means, where a value is optional
    allowed: tuple[str, ...] = ()  # values of an unsupported option that ask for nothing
    for_stores: tuple[str, ...] = ()  # the kinds of store that it matters to
    unsupported: str | None = None
    already: str | None = None
    no_effect: str | None = None

    @property
    def env_names(self) -> tuple[str, ...]:
        """All variables without warning, the documented one first."""
        named = self.env or (variable(self.flag),)
        older = tuple(variable(flag) for flag in self.also) if named[0].startswith("INFLUXDB3_") else ()
        return tuple(dict.fromkeys(named + older))

    @property
    def is_flag(self) -> bool:
        return self.value_name is None


def variable(flag: str) -> str:
    return "INFLUXDB3_" + flag.removeprefix("--").replace("-", "_").upper()


# ---------------------------------------------------------------------------------------------------------------- kinds


def text(given: Given) -> str:
    return given.text


def name(given: Given) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", given.text):
        raise ValueError("a name consists of letters, digits, '.', '_' and '-' and begins with a letter or digit")
    return given.text


def flag(given: Given) -> bool:
    lowered = given.text.strip().lower()
    if lowered in ("true", "1", "yes", "y", "on", "t"):
        return True
    if lowered in ("false", "0", "no", "n", "off", "f", ""):
        return False
    raise ValueError("expected true or false")


def count(given: Given) -> int:
    if not given.text.strip().isdecimal():
        raise ValueError("expected a whole number")
    return int(given.text)


def positive(given: Given) -> int:
    if (number := count(given)) < 1:
        raise ValueError("value must be at least 1")
    return number


def path(given: Given) -> str:
    if given.text == "~" or given.text.startswith("~/"):
        return str(given.machine.home / given.text[2:])
    return str(Path(given.text).absolute())


def listed(given: Given) -> tuple[str, ...]:
    return tuple(part.strip() for part in given.text.split(",") if part.strip())


def released(given: Given) -> tuple[str, ...]:
    names = listed(given)
    if not names or not set(names) <= set(RELEASABLE):
        raise ValueError(
            "invalid value passed in for --disable-authz, allowed values are health, ping, metrics, ready, pprof, and node_stop"
        )
    return names


def duration_ms(given: Given) -> int:
    nanoseconds = parse_duration_ns(given.text)
    if nanoseconds < 1_000_000:
        raise ValueError("the shortest duration here is 1ms")
    return nanoseconds // 1_000_000


def gen1_ns(given: Given) -> int:
    nanoseconds = parse_duration_ns(given.text)
    if nanoseconds not in (60_000_000_000, 300_000_000_000, 600_000_000_000):
        raise ValueError(f"invalid gen1 duration {given.text}. Must be one of 1m, 5m, 10m")
    return nanoseconds


def size_bytes(given: Given) -> int:
    """Of the memory where it is a percentage. A bare number is in MB under the older names and refused under the newer ones."""
    bare = 10**6 if given.old_spelling else None
    return parse_size_bytes(given.text, whole_bytes=given.machine.memory_bytes, bare_unit_bytes=bare)


def body_bytes(given: Given) -> int:
    return parse_size_bytes(given.text, whole_bytes=given.machine.memory_bytes, bare_unit_bytes=1)


def address(given: Given) -> tuple[str, int]:
    """`0.0.0.0:8181`, `[::1]:8181`; a scheme in front and a slash behind are allowed."""
    stripped = re.sub(r"^[a-z+]+://", "", given.text.strip()).rstrip("/")
    host, colon, port = stripped.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("expected an address and a port, such as 127.0.0.1:8181")
    return host.strip("[]"), int(port)


def one_of(*choices: str) -> Kind:
    def choice(given: Given) -> str:
        if given.text.lower() not in choices:
            raise ValueError(f"possible values: {', '.join(choices)}")
        return given.text.lower()

    return choice


# --------------------------------------------------------------------------------------------------- what is not there yet

NO_PLUGINS = "it has no processing engine yet"
NO_CLUSTER = "a node works alone so far, without replication, read replicas or a separate compactor"
NO_COMPACTOR = "it does not compact yet"
NO_TRACES = "it does not export traces"
NO_CACHES = "there are no last-value and distinct-value caches yet"
NO_RUNTIME = "the server has no such runtime; see --http-workers and --http-threads"
NO_LICENSE = "nothing here needs a license"
NO_UPLOAD = "nothing is ever uploaded"
ONE_ENGINE = "there is one storage engine"

CLOUD = ("s3", "google", "azure")


def _runtime(flags: str) -> tuple[Option, ...]:
    return tuple(
        Option(
            flag=each,
            help="Tuning of another server's threads.",
            group="Runtime",
            kind=text,
            value_name="VALUE",
            no_effect=NO_RUNTIME,
        )
        for each in flags.split()
    )


def _unsupported(flags: str, group: Group, reason: str, help: str, *, value_name: str | None = "VALUE") -> tuple[Option, ...]:
    kind = flag if value_name is None else text
    return tuple(
        Option(
            flag=each,
            help=help,
            group=group,
            kind=kind,
            value_name=value_name,
            env=(variable(each), "INFLUXDB3_ENTERPRISE_" + variable(each)[10:]),
            unsupported=reason,
        )
        for each in flags.split()
    )


def _store(each: str, help: str, kind: Kind, value_name: str | None = None, default: str | None = None) -> Option:
    return Option(
        flag=f"--object-store-{each}",
        help=help,
        group="Object store",
        kind=kind,
        value_name=value_name,
        default=default,
        sets="store." + each.replace("-", "_") + ("_ms" if kind is duration_ms else ""),
        unprefixed=(variable(f"--object-store-{each}").removeprefix("INFLUXDB3_"),),
        for_stores=CLOUD,
    )


def _cloud(
    each: str,
    help: str,
    kind: Kind = text,
    value_name: str | None = "VALUE",
    *,
    default: str | None = None,
    also: tuple[str, ...] = (),
    common: bool = False,
) -> Option:
    named = each.removeprefix("--").replace("-", "_")
    return Option(
        flag=each,
        help=help,
        group="Object store",
        kind=kind,
        value_name=value_name,
        default=default,
        also=also,
        common=common,
        env=(named.upper(),),
        sets=f"store.{named}",
        for_stores=({"aws": "s3", "google": "google", "azure": "azure"}[named.partition("_")[0]],),
    )


# ------------------------------------------------------------------------------------------------------------- the options

OPTIONS: tuple[Option, ...] = (
    # Node and storage
    Option(
        flag="--node-id",
        help="Name of this node, and the prefix of its files.",
        group="Node and storage",
        kind=name,
        value_name="NAME",
        sets="settings.node_id",
        also=("--host-id", "--writer-id"),
        env=("INFLUXDB3_NODE_ID", "INFLUXDB3_NODE_IDENTIFIER_PREFIX"),
        common=True,
    ),
    Option(
        flag="--node-id-from-env",
        help="Take the node id from this environment variable.",
        group="Node and storage",
        kind=text,
        value_name="VAR",
        sets="serve.node_id_from_env",
        env=("INFLUXDB3_NODE_ID_FROM_ENV", "INFLUXDB3_NODE_IDENTIFIER_FROM_ENV"),
    ),
    Option(
        flag="--object-store",
        help="Where data lives: file, memory, s3, google or azure.",
        group="Node and storage",
        kind=one_of("memory", "memory-throttled", "file", "s3", "google", "azure"),
        value_name="KIND",
        default="file",
        sets="store.kind",
        common=True,
    ),
    Option(
        flag="--data-dir",
        help="Directory of the file store.",
        group="Node and storage",
        kind=path,
        value_name="DIR",
        default="~/.influxdb",
        sets="store.data_dir",
        env=("INFLUXDB3_DATA_DIR", "INFLUXDB3_DB_DIR"),
        for_stores=("file",),
        common=True,
    ),
    Option(
        flag="--bucket",
        help="Bucket (s3, google) or container (azure).",
        group="Node and storage",
        kind=text,
        value_name="NAME",
        sets="store.bucket",
        for_stores=CLOUD,
        common=True,
    ),
    Option(
        flag="--new-tags",
        help="A line with a tag that its table lacks: 'fixed' rejects the line, 'extend' adds the tag.",
        group="Node and storage",
        kind=one_of("fixed", "extend"),
        value_name="HOW",
        default="fixed",
        sets="serve.new_tags",
        common=True,
    ),
    # Network
    Option(
        flag="--http-bind",
        help="The one address for HTTP and Flight; port 0 is any free one.",
        group="Network",
        kind=address,
        value_name="ADDR",
        default="0.0.0.0:8181",
        sets="serve.http_bind",
        env=("INFLUXDB3_HTTP_BIND_ADDR", "INFLUXDB3_HTTP_BIND"),
        common=True,
    ),
    Option(
        flag="--flight-bind",
        help="A second address, for Flight alone and a little faster.",
        group="Network",
        kind=address,
        value_name="ADDR",
        sets="serve.flight_bind",
        common=True,
    ),
    Option(
        flag="--tls-cert",
        help="Certificate chain (PEM); with --tls-key it turns TLS on.",
        group="Network",
        kind=path,
        value_name="FILE",
        sets="serve.tls_cert",
        common=True,
    ),
    Option(
        flag="--tls-key",
        help="Private key (PEM).",
        group="Network",
        kind=path,
        value_name="FILE",
        sets="serve.tls_key",
        common=True,
    ),
    Option(
        flag="--tls-minimum-version",
        help="Oldest TLS version that is accepted.",
        group="Network",
        kind=one_of("tls-1.2", "tls-1.3"),
        value_name="VERSION",
        default="tls-1.2",
        sets="serve.tls_minimum_version",
    ),
    Option(
        flag="--max-http-request-size",
        help="Largest request body, before and after decompression.",
        group="Network",
        kind=body_bytes,
        value_name="BYTES",
        default="10485760",
        sets="settings.max_http_request_size_bytes",
    ),
    Option(
        flag="--http-workers",
        help="Processes that answer HTTP; default: one per core, at least two, at most eight.",
        group="Network",
        kind=positive,
        value_name="N",
        sets="serve.http_workers",
    ),
    Option(
        flag="--http-threads",
        help="Requests that one HTTP process answers at the same time; default: 32, or 256 with a remote store, "
        "where a write waits up to --wal-flush-interval for its group.",
        group="Network",
        kind=positive,
        value_name="N",
        sets="serve.http_threads",
    ),
    Option(
        flag="--shutdown-timeout",
        help="Longest time a stopping server may take to write out what it holds.",
        group="Network",
        kind=duration_ms,
        value_name="DURATION",
        default="30s",
        sets="settings.shutdown_timeout_ms",
    ),
    # Object store
    _cloud("--aws-access-key-id", "Access key.", value_name="KEY", also=("--aws-access-key",), common=True),
    _cloud("--aws-secret-access-key", "Its secret.", value_name="SECRET", common=True),
    _cloud("--aws-session-token", "Session token of temporary credentials.", value_name="TOKEN"),
    _cloud("--aws-default-region", "Region of the bucket.", value_name="REGION", default="us-east-1"),
    _cloud("--aws-endpoint", "Address of another service that speaks S3.", value_name="URL", common=True),
    _cloud("--aws-allow-http", "Allow an endpoint without TLS.", flag, None, common=True),
    _cloud("--aws-skip-signature", "Send requests unsigned.", flag, None),
    _cloud("--aws-credentials-file", "JSON file with credentials, read again when it changes.", path, "FILE"),
    _cloud("--google-service-account", "Key file of a Google service account.", path, "FILE"),
    _cloud("--azure-storage-account", "Name of the Azure storage account.", value_name="NAME"),
    _cloud("--azure-storage-access-key", "Access key of the storage account.", value_name="KEY"),
    _cloud("--azure-endpoint", "Address of another service that speaks Azure Blob Storage.", value_name="URL"),
    _cloud("--azure-allow-http", "Allow an endpoint without TLS.", flag, None),
    _store("connection-limit", "Most connections to the store at a time.", positive, "N", "64"),
    _store("request-timeout", "Longest time of one request to the store.", duration_ms, "DURATION", "30s"),
    _store("max-retries", "Attempts after the first for a request that failed.", count, "N", "10"),
    _store("retry-timeout", "Longest time of all attempts of one request.", duration_ms, "DURATION", "3m"),
    _store("http2-only", "Speak HTTP/2 to the store without asking.", flag),
    _store("tls-ca", "Certificates to check the store's certificate with.", path, "FILE"),
    _store("tls-allow-insecure", "Do not check the store's certificate. For tests.", flag),
    Option(
        flag="--object-store-http2-max-frame-size",
        help="Largest HTTP/2 frame.",
        group="Object store",
        kind=text,
        value_name="BYTES",
        unprefixed=("OBJECT_STORE_HTTP2_MAX_FRAME_SIZE",),
        unsupported="the HTTP client of the object stores has no setting for the frame size",
    ),
    Option(
        flag="--object-store-cache-endpoint",
        help="A cache in front of the store.",
        group="Object store",
        kind=text,
        value_name="URL",
        unprefixed=("OBJECT_STORE_CACHE_ENDPOINT",),
        unsupported="there is no separate cache service; recent data is kept by the server itself",
    ),
    Option(
        flag="--allow-unconditional-writes",
        help="Use a store that overwrites what it was told not to. Then only care keeps two servers from sharing a node id.",
        group="Object store",
        kind=flag,
        sets="store.allow_unconditional_writes",
    ),
    # Write-ahead log and settling
    Option(
        flag="--wal-flush-interval",
        help="Longest time that a no_sync write stays out of the log.",
        group="Write-ahead log and settling",
        kind=duration_ms,
        value_name="DURATION",
        default="1s",
        sets="settings.wal_flush_interval_ms",
        common=True,
    ),
    Option(
        flag="--wal-files-per-snapshot",
        help="Flushes of the log after which a snapshot is due.",
        group="Write-ahead log and settling",
        kind=positive,
        value_name="N",
        default="600",
        sets="settings.wal_files_per_snapshot",
        also=("--wal-snapshot-size",),
    ),
    Option(
        flag="--wal-max-buffered-writes",
        help="Writes that may wait for the log; beyond it the answer is 503.",
        group="Write-ahead log and settling",
        kind=positive,
        value_name="N",
        default="100000",
        sets="settings.wal_max_buffered_writes",
        also=("--wal-max-write-buffer-size",),
    ),
    Option(
        flag="--snapshotted-wal-files-to-keep",
        help="Log files kept after a snapshot has made them unnecessary; default: 300 in a remote store, "
        "none on a local disk, where each has 64 MiB.",
        group="Write-ahead log and settling",
        kind=count,
        value_name="N",
        sets="settings.snapshotted_wal_files_to_keep",
        env=("INFLUXDB3_NUM_WAL_FILES_TO_KEEP", "INFLUXDB3_SNAPSHOTTED_WAL_FILES_TO_KEEP"),
    ),
    Option(
        flag="--wal-replay-fail-on-error",
        help="Refuse to start when a log file is damaged, instead of serving what is intact.",
        group="Write-ahead log and settling",
        kind=flag,
        sets="settings.wal_replay_fail_on_error",
    ),
    Option(
        flag="--wal-replay-concurrency-limit",
        help="Log files read at the same time at start.",
        group="Write-ahead log and settling",
        kind=text,
        value_name="N",
        no_effect="replay decides by itself how far to read ahead",
    ),
    Option(
        flag="--gen1-duration",
        help="Time span of one Parquet file: 1m, 5m or 10m.",
        group="Write-ahead log and settling",
        kind=gen1_ns,
        value_name="DURATION",
        default="10m",
        sets="settings.gen1_duration_ns",
    ),
    Option(
        flag="--gen1-lookback-duration",
        help="How far back files are looked for at start.",
        group="Write-ahead log and settling",
        kind=text,
        value_name="DURATION",
        no_effect="every file is found, however old",
    ),
    Option(
        flag="--snapshot-concurrency-limit",
        help="Parquet files written at the same time.",
        group="Write-ahead log and settling",
        kind=positive,
        value_name="N",
        sets="settings.snapshot_concurrency",
    ),
    Option(
        flag="--force-snapshot-mem-size",
        help="Rows in memory beyond this size are settled into Parquet at once.",
        group="Write-ahead log and settling",
        kind=size_bytes,
        value_name="SIZE",
        default="30%",
        sets="settings.force_snapshot_mem_bytes",
        also=("--force-snapshot-mem-threshold",),
    ),
    Option(
        flag="--checkpoint-interval",
        help="How often snapshot lists are merged.",
        group="Write-ahead log and settling",
        kind=text,
        value_name="DURATION",
        no_effect="lists are merged when that pays",
    ),
    Option(
        flag="--retention-check-interval",
        help="How often files are looked for in which all rows have expired.",
        group="Write-ahead log and settling",
        kind=duration_ms,
        value_name="DURATION",
        default="30m",
        sets="settings.retention_check_interval_ms",
    ),
    Option(
        flag="--delete-grace-period",
        help="How long deleted data stays in the store.",
        group="Write-ahead log and settling",
        kind=duration_ms,
        value_name="DURATION",
        default="24h",
        sets="settings.delete_grace_period_ms",
    ),
    Option(
        flag="--hard-delete-default-duration",
        help="When deleted data goes for good, unless the deletion says otherwise.",
        group="Write-ahead log and settling",
        kind=duration_ms,
        value_name="DURATION",
        default="72h",
        sets="settings.hard_delete_default_ms",
    ),
    # Memory and queries
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
    # Limits
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
    # Access
    Option(
        flag="--without-auth",
        help="Let every request in; there are no tokens then.",
        group="Access",
        kind=flag,
        env=("INFLUXDB3_WITHOUT_AUTH", "INFLUXDB3_START_WITHOUT_AUTH"),
        sets="access.without_auth",
        common=True,
    ),
    Option(
        flag="--disable-authz",
        help="Endpoints that need no token: health, ping, metrics, ready, pprof, node_stop.",
        group="Access",
        kind=released,
        value_name="LIST",
        sets="access.released",
        common=True,
    ),
    Option(
        flag="--without-user-auth",
        help="Do not let users log in.",
        group="Access",
        kind=flag,
        already="there are no users",
    ),
    Option(
        flag="--admin-token-file",
        help="File with the first admin token, taken in if there is none yet.",
        group="Access",
        kind=path,
        value_name="FILE",
        sets="access.admin_token_file",
    ),
    Option(
        flag="--admin-token-recovery-http-bind",
        help="Address at which the operator token can be replaced once, without a token, by whoever reaches it.",
        group="Access",
        kind=address,
        value_name="ADDR",
        bare_value="127.0.0.1:8182",
        env=("INFLUXDB3_ADMIN_TOKEN_RECOVERY_HTTP_BIND_ADDR", "INFLUXDB3_ADMIN_TOKEN_RECOVERY_HTTP_BIND"),
        sets="access.recovery_bind",
    ),
    Option(
        flag="--audit-log-file",
        help="File for what administrators did, with who and what; rotated. The server's log has it in any case.",
        group="Access",
        kind=path,
        value_name="FILE",
        sets="access.audit_log_file",
    ),
    Option(
        flag="--permission-tokens-file",
        help="File with resource tokens, taken in if there are none yet.",
        group="Access",
        kind=path,
        value_name="FILE",
        sets="access.permission_tokens_file",
    ),
    *_unsupported(
        "--jwt-key-id --jwt-private-key --jwt-issuer --jwt-default-ttl-seconds "
        "--oauth-issuer --oauth-audience --oauth-client-id --oauth-scopes",
        "Access",
        "it has no user accounts yet",
        "User accounts.",
    ),
    *_unsupported("--rbac-authoring-disabled", "Access", "it has no roles yet", "Roles cannot be changed.", value_name=None),
    # Logs
    Option(
        flag="--log-filter",
        help="Level, or level,part=level,…: error, warn, info, debug.",
        group="Logs",
        kind=text,
        value_name="FILTER",
        default="info",
        sets="serve.log_filter",
        unprefixed=("LOG_FILTER",),
        common=True,
    ),
    Option(
        flag="--log-format",
        help="One line per event, as text (also: full) or json.",
        group="Logs",
        kind=one_of("text", "full", "json"),
        value_name="FORMAT",
        default="text",
        sets="serve.log_format",
        unprefixed=("LOG_FORMAT",),
        common=True,
    ),
    Option(
        flag="--log-destination",
        help="Where the log goes: stdout or stderr.",
        group="Logs",
        kind=one_of("stdout", "stderr"),
        value_name="WHERE",
        default="stdout",
        sets="serve.log_destination",
        unprefixed=("LOG_DESTINATION",),
    ),
    Option(
        flag="--verbose",
        help="Log in detail, whatever the filter says.",
        group="Logs",
        kind=flag,
        short="-v",
        sets="serve.verbose",
        common=True,
    ),
    Option(
        flag="--disable-log-filter-noise-reduction",
        help="Log what libraries say, too.",
        group="Logs",
        kind=flag,
        no_effect="--log-filter decides",
    ),
    Option(
        flag="--traces-exporter",
        help="Where traces are sent.",
        group="Logs",
        kind=text,
        value_name="KIND",
        allowed=("none",),
        unprefixed=("TRACES_EXPORTER",),
        unsupported=NO_TRACES,
    ),
    *(
        Option(
            flag=each,
            help="Details of exported traces.",
            group="Logs",
            kind=text,
            value_name="VALUE",
            unprefixed=(variable(each).removeprefix("INFLUXDB3_"),),
            unsupported=NO_TRACES,
        )
        for each in (
            "--traces-exporter-jaeger-agent-host",
            "--traces-exporter-jaeger-agent-port",
            "--traces-exporter-jaeger-service-name",
            "--traces-exporter-jaeger-trace-context-header-name",
            "--traces-jaeger-debug-name",
            "--traces-jaeger-tags",
            "--traces-jaeger-max-msgs-per-second",
        )
    ),
    # Processing engine
    Option(
        flag="--plugin-dir",
        help="Directory of plugins.",
        group="Processing engine",
        kind=path,
        value_name="DIR",
        unsupported=NO_PLUGINS,
    ),
    Option(
        flag="--virtual-env-location",
        help="Python environment of plugins. (The variable VIRTUAL_ENV is not read: every activated environment sets it.)",
        group="Processing engine",
        kind=path,
        value_name="DIR",
        unsupported=NO_PLUGINS,
    ),
    Option(
        flag="--package-manager",
        help="How plugins install packages.",
        group="Processing engine",
        kind=text,
        value_name="HOW",
        allowed=("disabled",),
        unsupported=NO_PLUGINS,
    ),
    Option(
        flag="--disable-package-management",
        help="Plugins install no packages.",
        group="Processing engine",
        kind=flag,
        already="nothing is ever installed",
    ),
    Option(
        flag="--plugin-repo",
        help="Where plugins named gh:… come from.",
        group="Processing engine",
        kind=text,
        value_name="URL",
        unsupported=NO_PLUGINS,
    ),
    Option(
        flag="--plugin-dir-only",
        help="Run only plugins of the plugin directory.",
        group="Processing engine",
        kind=flag,
        already="this version runs no plugin at all",
    ),
    Option(
        flag="--restrict-plugin-triggers-to",
        help="Kinds of triggers that may be created.",
        group="Processing engine",
        kind=listed,
        value_name="LIST",
        unsupported=NO_PLUGINS,
    ),
    Option(
        flag="--async-trigger-concurrency-limit",
        help="Runs of asynchronous triggers at the same time.",
        group="Processing engine",
        kind=text,
        value_name="N",
        unsupported=NO_PLUGINS,
    ),
    # Several nodes
    Option(
        flag="--mode",
        help="What this node does: all, or read_write, which is the same where a node works alone.",
        group="Several nodes",
        kind=text,
        value_name="LIST",
        env=("INFLUXDB3_MODE", "INFLUXDB3_ENTERPRISE_MODE"),
        allowed=("all", "read_write", "ingest,query", "query,ingest"),
        unsupported=NO_CLUSTER,
    ),
    Option(
        flag="--cluster-id",
        help="Share the catalog with the nodes that say the same: databases, tables, tokens. Rows are each node's own.",
        group="Several nodes",
        kind=name,
        value_name="NAME",
        sets="settings.cluster_id",
        env=("INFLUXDB3_CLUSTER_ID", "INFLUXDB3_ENTERPRISE_CLUSTER_ID"),
    ),
    Option(
        flag="--catalog-sync-interval",
        help="How often the other nodes' changes of a shared catalog are looked for.",
        group="Several nodes",
        kind=duration_ms,
        value_name="DURATION",
        default="500ms",
        sets="settings.catalog_sync_interval_ms",
        env=("INFLUXDB3_CATALOG_SYNC_INTERVAL", "INFLUXDB3_ENTERPRISE_CATALOG_SYNC_INTERVAL"),
    ),
    *_unsupported(
        "--read-from-writer-ids --read-from-node-ids --replicas --compactor-id --compaction-hosts --conn-info "
        "--replication-interval --wait-for-running-ingester --wait-for-running-ingestor "
        "--internode-bind-addr --internode-tls-cert --internode-tls-key --internode-tls-ca",
        "Several nodes",
        NO_CLUSTER,
        "Nodes that work together.",
    ),
    *_unsupported("--run-compactions", "Several nodes", NO_COMPACTOR, "Compact on this node.", value_name=None),
    *_unsupported(
        "--compaction-row-limit --compaction-max-num-files-per-plan --compaction-gen2-duration --compaction-multipliers "
        "--compaction-cleanup-wait --compaction-check-interval --compacted-data-load-concurrency-limit --preemptive-cache-age",
        "Several nodes",
        NO_COMPACTOR,
        "Compaction.",
    ),
    *_unsupported("--compacted-data-skip-file-index", "Several nodes", NO_COMPACTOR, "Compaction.", value_name=None),
    *_unsupported("--row-delete-min-age", "Several nodes", "it does not delete rows yet", "Row deletes."),
    *_unsupported("--use-pacha-tree --upgrade-pacha-tree", "Several nodes", ONE_ENGINE, "Another engine.", value_name=None),
    *_unsupported("--enable-auto-dvc --enable-retention", "Several nodes", ONE_ENGINE, "Another engine.", value_name=None),
    *_unsupported("--max-total-columns --shard-count", "Several nodes", ONE_ENGINE, "Another engine."),
    # Runtime
    Option(
        flag="--num-io-threads",
        help="Threads of another server's runtime.",
        group="Runtime",
        kind=text,
        value_name="N",
        also=("--num-threads",),
        no_effect=NO_RUNTIME,
    ),
    *_runtime(
        "--io-runtime-type --io-runtime-disable-lifo-slot --io-runtime-event-interval --io-runtime-global-queue-interval "
        "--io-runtime-max-blocking-threads --io-runtime-max-io-events-per-tick --io-runtime-thread-keep-alive "
        "--io-runtime-thread-priority --datafusion-runtime-type --datafusion-runtime-disable-lifo-slot "
        "--datafusion-runtime-event-interval --datafusion-runtime-global-queue-interval "
        "--datafusion-runtime-max-blocking-threads --datafusion-runtime-max-io-events-per-tick "
        "--datafusion-runtime-thread-keep-alive --datafusion-runtime-thread-priority"
    ),
    # License, telemetry and tests
    *(
        Option(
            flag=each,
            help="License of another server.",
            group="License, telemetry and tests",
            kind=text,
            value_name="VALUE",
            env=(variable(each), "INFLUXDB3_ENTERPRISE_" + variable(each)[10:]),
            no_effect=NO_LICENSE,
        )
        for each in ("--license-email", "--license-file", "--license-type")
    ),
    Option(
        flag="--disable-telemetry-upload",
        help="Upload no usage data.",
        group="License, telemetry and tests",
        kind=flag,
        env=("INFLUXDB3_TELEMETRY_DISABLE_UPLOAD", "INFLUXDB3_DISABLE_TELEMETRY_UPLOAD"),
        already=NO_UPLOAD,
    ),
    Option(
        flag="--telemetry-endpoint",
        help="Where usage data is uploaded.",
        group="License, telemetry and tests",
        kind=text,
        value_name="URL",
        unsupported=NO_UPLOAD,
    ),
    Option(
        flag="--tcp-listener-file-path",
        help="File that receives the bound address once the server is ready.",
        group="License, telemetry and tests",
        kind=path,
        value_name="FILE",
        sets="serve.listener_file",
        env=("INFLUXDB3_TCP_LISTENER_FILE_PATH", "INFLUXDB3_TCP_LISTINER_FILE_PATH"),
    ),
    Option(
        flag="--admin-token-recovery-tcp-listener-file-path",
        help="File that receives the address of the recovery endpoint.",
        group="License, telemetry and tests",
        kind=path,
        value_name="FILE",
        sets="access.recovery_listener_file",
    ),
    Option(
        flag="--serve-invocation-method",
        help="Who started the server.",
        group="License, telemetry and tests",
        kind=text,
        value_name="NAME",
        no_effect=NO_UPLOAD,
    ),
    Option(
        flag="--test-mode",
        help="Behave as another server's tests expect.",
        group="License, telemetry and tests",
        kind=flag,
        no_effect="there is only one way to behave",
    ),
)

GROUPS: tuple[Group, ...] = tuple(dict.fromkeys(option.group for option in OPTIONS))
