"""What belongs to parts of other servers: a processing engine, clusters, runtimes, licenses."""

from flightserver.options.absent import (
    NO_CLUSTER,
    NO_COMPACTOR,
    NO_LICENSE,
    NO_PLUGINS,
    NO_RUNTIME,
    NO_UPLOAD,
    ONE_ENGINE,
    runtime,
    unsupported,
)
from flightserver.options.declared import Option, variable
from flightserver.options.kinds import duration_ms, flag, listed, name, path, text

PROCESSING: tuple[Option, ...] = (
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
)


SEVERAL_NODES: tuple[Option, ...] = (
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
    *unsupported(
        "--read-from-writer-ids --read-from-node-ids --replicas --compactor-id --compaction-hosts --conn-info "
        "--replication-interval --wait-for-running-ingester --wait-for-running-ingestor "
        "--internode-bind-addr --internode-tls-cert --internode-tls-key --internode-tls-ca",
        "Several nodes",
        NO_CLUSTER,
        "Nodes that work together.",
    ),
    *unsupported("--run-compactions", "Several nodes", NO_COMPACTOR, "Compact on this node.", value_name=None),
    *unsupported(
        "--compaction-row-limit --compaction-max-num-files-per-plan --compaction-gen2-duration --compaction-multipliers "
        "--compaction-cleanup-wait --compaction-check-interval --compacted-data-load-concurrency-limit --preemptive-cache-age",
        "Several nodes",
        NO_COMPACTOR,
        "Compaction.",
    ),
    *unsupported("--compacted-data-skip-file-index", "Several nodes", NO_COMPACTOR, "Compaction.", value_name=None),
    *unsupported("--row-delete-min-age", "Several nodes", "it does not delete rows yet", "Row deletes."),
    *unsupported("--use-pacha-tree --upgrade-pacha-tree", "Several nodes", ONE_ENGINE, "Another engine.", value_name=None),
    *unsupported("--enable-auto-dvc --enable-retention", "Several nodes", ONE_ENGINE, "Another engine.", value_name=None),
    *unsupported("--max-total-columns --shard-count", "Several nodes", ONE_ENGINE, "Another engine."),
)


RUNTIME: tuple[Option, ...] = (
    Option(
        flag="--num-io-threads",
        help="Threads of another server's runtime.",
        group="Runtime",
        kind=text,
        value_name="N",
        also=("--num-threads",),
        no_effect=NO_RUNTIME,
    ),
    *runtime(
        "--io-runtime-type --io-runtime-disable-lifo-slot --io-runtime-event-interval --io-runtime-global-queue-interval "
        "--io-runtime-max-blocking-threads --io-runtime-max-io-events-per-tick --io-runtime-thread-keep-alive "
        "--io-runtime-thread-priority --datafusion-runtime-type --datafusion-runtime-disable-lifo-slot "
        "--datafusion-runtime-event-interval --datafusion-runtime-global-queue-interval "
        "--datafusion-runtime-max-blocking-threads --datafusion-runtime-max-io-events-per-tick "
        "--datafusion-runtime-thread-keep-alive --datafusion-runtime-thread-priority"
    ),
)


LICENSE_AND_TESTS: tuple[Option, ...] = (
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
