"""Who a node is, and where its data lies."""

from flightserver.options.declared import CLOUD, Kind, Option, variable
from flightserver.options.kinds import count, duration_ms, flag, name, one_of, path, positive, text


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


NODE: tuple[Option, ...] = (
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
)


OBJECT_STORE: tuple[Option, ...] = (
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
)
