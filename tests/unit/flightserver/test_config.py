"""From flags, environment and .env to values (F1-F3, O3, S1)."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.settings import Settings
from flightserver.config import ConfigError, ServeConfig, UsageError, parse_dotenv, read_environment, resolve
from flightserver.options.declared import Machine

GIB = 1024**3
MACHINE = Machine(memory_bytes=10 * GIB, cpus=4, hostname="box.example", home=Path("/home/ann"))


def resolved(environment: dict[str, str] | None = None, **arguments: str) -> ServeConfig:
    """`resolved(wal_flush_interval="2s")` is `serve --node-id n --wal-flush-interval 2s`."""
    given = {"--" + name.replace("_", "-"): value for name, value in arguments.items()}
    return resolve({"--node-id": "n", **given}, environment or {}, MACHINE)


def test_nothing_but_a_node_id_is_needed() -> None:
    config = resolved()

    assert config.http_bind == ("0.0.0.0", 8181)
    assert config.flight_bind is None
    assert config.tls is None
    assert config.http_workers == 4
    assert config.store["kind"] == "file"
    assert config.store["data_dir"] == "/home/ann/.influxdb"
    assert config.settings.node_id == "n"
    assert config.settings.wal_flush_interval_ms == 1000
    assert config.settings.gen1_duration_ns == 600 * 10**9
    assert config.settings.query_file_limit is None
    assert config.settings.database_limit is None


def test_settings_keep_their_defaults_where_no_machine_is_involved() -> None:
    """S1: the engine's own defaults and those of the options are the same."""
    sized = {"force_snapshot_mem_bytes", "buffer_mem_limit_bytes", "exec_mem_pool_bytes", "file_cache_bytes"}
    config = resolved().settings

    for name in Settings.__slots__:
        if name not in {*sized, "cli_params"}:
            assert getattr(config, name) == getattr(Settings(node_id="n"), name), name


def test_shares_of_memory_become_bytes() -> None:
    """F3."""
    config = resolved(exec_mem_pool_size="10%", buffer_mem_limit="3gib")

    assert config.settings.exec_mem_pool_bytes == GIB
    assert config.settings.buffer_mem_limit_bytes == 3 * GIB


def test_a_bare_size_is_megabytes_under_the_old_name_and_refused_under_the_new_one() -> None:
    assert resolved(exec_mem_pool_bytes="100").settings.exec_mem_pool_bytes == 100_000_000
    with pytest.raises(UsageError, match=r"--exec-mem-pool-size <SIZE>.*a unit is needed"):
        resolved(exec_mem_pool_size="100")


@pytest.mark.parametrize("spelling", ["--node-id", "--host-id", "--writer-id"])
def test_a_node_is_named_by_any_of_its_spellings(spelling: str) -> None:
    assert resolve({spelling: "local01"}, {}, MACHINE).settings.node_id == "local01"


def test_two_spellings_that_disagree_are_refused() -> None:
    with pytest.raises(UsageError, match="'--node-id' cannot be used with '--writer-id'"):
        resolve({"--node-id": "a", "--writer-id": "b"}, {}, MACHINE)


@pytest.mark.parametrize("bad", ["", "a/b", "../x", ".hidden", "a b", "-x", "ü"])
def test_a_node_id_that_could_not_be_a_directory_is_refused(bad: str) -> None:
    with pytest.raises(UsageError, match="invalid value"):
        resolve({"--node-id": bad}, {}, MACHINE)


def test_a_flag_beats_the_environment_and_a_new_variable_beats_an_old_one() -> None:
    """F1."""
    environment = {"INFLUXDB3_DB_DIR": "/old", "INFLUXDB3_DATA_DIR": "/new"}

    assert resolved(environment).store["data_dir"] == "/new"
    assert resolved(environment, data_dir="/flag").store["data_dir"] == "/flag"
    assert resolved({"INFLUXDB3_DB_DIR": "/old"}).store["data_dir"] == "/old"


@pytest.mark.parametrize(
    ("variable", "value", "setting", "expected"),
    [
        ("INFLUXDB3_WAL_FILES_PER_SNAPSHOT", "7", "wal_files_per_snapshot", 7),
        ("INFLUXDB3_WAL_SNAPSHOT_SIZE", "7", "wal_files_per_snapshot", 7),
        ("INFLUXDB3_WAL_MAX_WRITE_BUFFER_SIZE", "8", "wal_max_buffered_writes", 8),
        ("INFLUXDB3_NUM_WAL_FILES_TO_KEEP", "9", "snapshotted_wal_files_to_keep", 9),
        ("INFLUXDB3_ENTERPRISE_NUM_TABLE_LIMIT", "10", "table_limit", 10),
        ("INFLUXDB3_DATAFUSION_NUM_THREADS", "3", "query_threads", 3),
    ],
)
def test_variables_work_in_all_their_spellings(variable: str, value: str, setting: str, expected: int) -> None:
    assert getattr(resolved({variable: value}).settings, setting) == expected


def test_an_unprefixed_variable_works_with_a_warning() -> None:
    config = resolved({"OBJECT_STORE_CONNECTION_LIMIT": "5", "LOG_FILTER": "warn"})

    assert config.store == {**config.store, "kind": "file"}
    assert config.logs.levels[""] == "WARNING"
    assert "the variable LOG_FILTER is deprecated, use INFLUXDB3_LOG_FILTER" in config.warnings


def test_the_node_id_can_come_from_a_variable_of_the_users_choice() -> None:
    config = resolve({"--node-id-from-env": "POD"}, {"POD": "pod-3"}, MACHINE)

    assert config.settings.node_id == "pod-3"
    with pytest.raises(ConfigError, match="POD, which is not set"):
        resolve({"--node-id-from-env": "POD"}, {}, MACHINE)
    with pytest.raises(UsageError, match="cannot be used with"):
        resolve({"--node-id-from-env": "POD", "--node-id": "x"}, {"POD": "pod-3"}, MACHINE)


def test_without_a_node_id_serve_asks_for_one_and_quick_start_makes_one_up() -> None:
    with pytest.raises(UsageError, match="required arguments were not provided:\n  --node-id <NAME>"):
        resolve({}, {}, MACHINE)

    config = resolve({}, {}, MACHINE, quick_start=True)

    assert config.settings.node_id == "box.example-node"
    assert config.notes == (
        "Using auto-generated node id: box.example-node. For production deployments, explicitly set --node-id",
    )


def test_a_host_without_a_usable_name_still_gets_a_node_id() -> None:
    nameless = Machine(memory_bytes=GIB, cpus=1, hostname="", home=Path("/"))

    assert resolve({}, {}, nameless, quick_start=True).settings.node_id == "primary-node"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("127.0.0.1:8181", ("127.0.0.1", 8181)),
        ("http://127.0.0.1:8181", ("127.0.0.1", 8181)),
        ("https://0.0.0.0:443/", ("0.0.0.0", 443)),
        ("[::1]:8181", ("::1", 8181)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_an_address_may_carry_a_scheme(written: str, meant: tuple[str, int]) -> None:
    assert resolved(http_bind=written).http_bind == meant


@pytest.mark.parametrize("written", ["8181", "127.0.0.1", "127.0.0.1:x", ":8181", "127.0.0.1:70000"])
def test_half_an_address_is_refused(written: str) -> None:
    with pytest.raises(UsageError, match="invalid value"):
        resolved(http_bind=written)


def test_gen1_durations_are_three() -> None:
    assert resolved(gen1_duration="5m").settings.gen1_duration_ns == 300 * 10**9
    with pytest.raises(UsageError, match=r"invalid gen1 duration 7m\. Must be one of 1m, 5m, 10m"):
        resolved(gen1_duration="7m")


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--plugin-dir", "~/.plugins"),
        ("--replication-interval", "1s"),
        ("--read-from-writer-ids", "host02"),
        ("--run-compactions", "true"),
        ("--mode", "compactor"),
        ("--traces-exporter", "jaeger"),
        ("--telemetry-endpoint", "http://x"),
    ],
)
def test_what_this_version_lacks_stops_the_start_with_a_sentence(flag: str, value: str) -> None:
    """F2."""
    with pytest.raises(ConfigError, match=f"^{flag} is not supported by this version: [^\n]+$") as caught:
        resolve({"--node-id": "n", flag: value}, {}, MACHINE)
    assert not isinstance(caught.value, UsageError)


def test_the_sentence_names_the_variable_where_that_was_used() -> None:
    """F2."""
    with pytest.raises(ConfigError, match=r"^INFLUXDB3_PLUGIN_DIR is not supported"):
        resolved({"INFLUXDB3_PLUGIN_DIR": "/plugins"})


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--mode", "all"),
        ("--traces-exporter", "none"),
        ("--run-compactions", "false"),
        ("--mode", "ALL"),
        ("--mode", "read_write"),
    ],
)
def test_asking_for_what_is_the_case_anyway_is_fine(flag: str, value: str) -> None:
    resolve({"--node-id": "n", flag: value}, {}, MACHINE)


def test_an_active_python_environment_is_not_taken_for_the_plugins_environment() -> None:
    assert resolved({"VIRTUAL_ENV": "/venv"}).warnings == resolved().warnings


def test_options_without_effect_are_accepted_and_named_once() -> None:
    """F1."""
    config = resolved({"INFLUXDB3_ENTERPRISE_LICENSE_EMAIL": "a@b.c"}, io_runtime_type="multi-thread")

    named = [warning for warning in config.warnings if "without effect" in warning]
    assert len(named) == 1
    assert "--io-runtime-type" in named[0]
    assert "INFLUXDB3_ENTERPRISE_LICENSE_EMAIL" in named[0]


def test_tokens_are_asked_for_unless_that_is_turned_off() -> None:
    assert (resolved().access.with_tokens, resolved().settings.with_tokens, resolved().warnings) == (True, True, ())
    for without in (resolved(without_auth="true"), resolved({"INFLUXDB3_START_WITHOUT_AUTH": "true"})):
        assert (without.access.with_tokens, without.settings.with_tokens, without.warnings) == (False, False, ())


def test_who_needs_no_token_and_where_the_first_ones_come_from() -> None:
    access = resolved(
        disable_authz="health, ping",
        admin_token_file="/etc/token.json",
        permission_tokens_file="/etc/tokens.json",
        admin_token_recovery_http_bind="127.0.0.1:8182",
    ).access

    assert (access.released, access.recovery_bind) == (("health", "ping"), ("127.0.0.1", 8182))
    assert (access.admin_token_file, access.permission_tokens_file) == ("/etc/token.json", "/etc/tokens.json")


@pytest.mark.parametrize("value", ["", "health,pong", ","])
def test_only_known_endpoints_can_do_without_a_token(value: str) -> None:
    words = "invalid value passed in for --disable-authz, allowed values are health, ping, metrics, ready, pprof, and node_stop"
    with pytest.raises(UsageError, match=words):
        resolved(disable_authz=value)


def test_options_of_tokens_are_not_dropped_in_silence_where_there_are_none() -> None:
    """F1."""
    config = resolved(without_auth="true", disable_authz="health", admin_token_file="/f")

    assert [warning.split()[0] for warning in config.warnings] == ["--disable-authz", "--admin-token-file"]


def test_an_s3_store_takes_its_credentials_from_flags_in_both_spellings() -> None:
    config = resolved(
        object_store="s3",
        bucket="b",
        aws_access_key="k",
        aws_secret_access_key="s",
        aws_endpoint="http://h:9000",
        aws_allow_http="true",
    )

    assert config.store["kind"] == "s3"
    assert config.store["bucket"] == "b"
    assert config.store["aws_access_key_id"] == "k"
    assert config.store["aws_allow_http"] is True
    assert config.store["aws_default_region"] == "us-east-1"
    assert config.store["request_timeout_ms"] == 30_000
    assert "data_dir" not in config.store


def test_credentials_in_the_environment_stay_out_of_a_store_that_needs_none() -> None:
    config = resolved({"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}, without_auth="true")

    assert "aws_access_key_id" not in config.store
    assert config.warnings == ()


def test_a_flag_for_another_kind_of_store_is_not_dropped_in_silence() -> None:
    """F1."""
    config = resolved(bucket="b", without_auth="true")

    assert config.warnings == ("--bucket has no effect with --object-store file",)


@pytest.mark.parametrize("kind", ["s3", "google", "azure"])
def test_a_cloud_store_needs_a_bucket(kind: str) -> None:
    with pytest.raises(ConfigError, match=f"--object-store {kind} needs --bucket"):
        resolved(object_store=kind)


def test_a_plain_http_endpoint_has_to_be_allowed() -> None:
    with pytest.raises(ConfigError, match="needs --aws-allow-http"):
        resolved(object_store="s3", bucket="b", aws_endpoint="http://h:9000")


def test_kinds_of_stores_are_read_in_any_case() -> None:
    assert resolved(object_store="Memory").store["kind"] == "memory"
    with pytest.raises(UsageError, match="possible values: memory, memory-throttled, file"):
        resolved(object_store="floppy")


def test_tls_takes_a_pair_of_readable_files(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_text("c")
    key.write_text("k")

    tls = resolved(tls_cert=str(cert), tls_key=str(key), tls_minimum_version="tls-1.3").tls

    assert tls is not None
    assert (tls.cert_file, tls.key_file, tls.minimum_version) == (str(cert), str(key), "tls-1.3")
    pair: dict[str, Any] = {"tls_cert": str(cert), "tls_key": str(key), "flight_bind": "127.0.0.1:0"}
    assert resolved(**pair).flight_bind is not None
    with pytest.raises(ConfigError, match=r"^--tls-minimum-version tls-1\.3 cannot be kept on the port of --flight-bind"):
        resolved(**pair, tls_minimum_version="tls-1.3")
    with pytest.raises(ConfigError, match=r"^tls requires both a cert and a key file to be passed in to work$"):
        resolved(tls_cert=str(cert))
    with pytest.raises(ConfigError, match=r"--tls-key /nowhere/key\.pem cannot be read: No such file or directory"):
        resolved(tls_cert=str(cert), tls_key="/nowhere/key.pem")


def test_paths_lose_their_tilde_and_become_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """F3."""
    monkeypatch.chdir(tmp_path)

    assert resolved(data_dir="~/.influxdb3").store["data_dir"] == "/home/ann/.influxdb3"
    assert resolved(data_dir="data").store["data_dir"] == str(tmp_path / "data")


def test_new_tags_and_the_file_cache_are_switched_by_name() -> None:
    assert resolved(new_tags="extend").settings.extend_tags is True
    assert resolved().settings.extend_tags is False
    assert resolved(disable_parquet_mem_cache="true").settings.file_cache_bytes == 0


def test_verbose_beats_the_filter_and_a_bad_filter_is_a_usage_error() -> None:
    assert resolved(verbose="true", log_filter="error").logs.levels == {"": "DEBUG"}
    assert resolved(log_format="json", log_destination="stderr").logs.json is True
    with pytest.raises(UsageError, match="unknown level 'loud'"):
        resolved(log_filter="loud")


def test_fewer_cores_mean_fewer_workers() -> None:
    assert resolved(num_cores="3").http_workers == 3
    assert resolved(num_cores="1").http_workers == 2
    assert resolved(http_workers="7").http_workers == 7


def test_a_dotenv_file_is_read_like_a_shell_would() -> None:
    content = """
# comment
export INFLUXDB3_NODE_ID=env-node
A = spaced
SINGLE='a # b $HOME'
DOUBLE="line\\nbreak \\"quoted\\""   # trailing
HASH=a#b # comment
EMPTY=
not a line
1BAD=x
"""

    assert dict(parse_dotenv(content)) == {
        "INFLUXDB3_NODE_ID": "env-node",
        "A": "spaced",
        "SINGLE": "a # b $HOME",
        "DOUBLE": 'line\nbreak "quoted"',
        "HASH": "a#b",
        "EMPTY": "",
    }


def test_the_nearest_dotenv_counts_and_the_environment_beats_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F1, V1."""
    (tmp_path / ".env").write_text("FAR=1\nBOTH=far\n")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "a" / ".env").write_text("NEAR=1\nBOTH=near\nSET=file\n")
    monkeypatch.setenv("SET", "process")

    environment = read_environment(below)

    assert environment["NEAR"] == "1"
    assert environment["BOTH"] == "near"
    assert environment["SET"] == "process"
    assert "FAR" not in environment


def test_with_a_remote_store_more_requests_are_answered_at_the_same_time() -> None:
    """F3: a write there waits for its group, and a thread waits with it."""
    assert resolved().http_threads == 32
    assert resolved(object_store="s3", bucket="b").http_threads == 256
    assert resolved(object_store="s3", bucket="b", http_threads="7").http_threads == 7


def test_what_was_asked_for_is_kept_for_those_who_look_without_secrets() -> None:
    secrets = {"--aws-access-key-id": "AKSECRET", "--aws-secret-access-key": "SKSECRET", "--aws-session-token": "TSECRET"}
    places = {"--aws-endpoint": "http://me:PSECRET@127.0.0.1:9000", "--bucket": "b", "--aws-allow-http": "true"}
    config = resolve(
        {"--node-id": "n", "--object-store": "s3", **places, **secrets}, {"INFLUXDB3_GEN1_DURATION": "5m"}, MACHINE
    )

    kept = json.loads(config.settings.cli_params or "")

    assert kept["gen1-duration"] == "5m"
    assert kept["aws-endpoint"] == "http://127.0.0.1:9000"
    assert (kept["bucket"], kept["node-id"]) == ("b", "n")
    assert "SECRET" not in json.dumps(kept)
    assert "http-bind" not in kept  # nobody asked for it
