"""What the server says of itself, and where."""

from flightserver.options.absent import NO_TRACES
from flightserver.options.declared import Option, variable
from flightserver.options.kinds import flag, one_of, text

LOGS: tuple[Option, ...] = (
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
)
