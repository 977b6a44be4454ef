"""Options of other servers that this one does not have yet, or has no use for, and the reasons."""

from flightserver.options.declared import Group, Option, variable
from flightserver.options.kinds import flag, text

NO_PLUGINS = "it has no processing engine yet"
NO_CLUSTER = "a node works alone so far, without replication, read replicas or a separate compactor"
NO_COMPACTOR = "it does not compact yet"
NO_TRACES = "it does not export traces"
NO_CACHES = "there are no last-value and distinct-value caches yet"
NO_RUNTIME = "the server has no such runtime; see --http-workers and --http-threads"
NO_LICENSE = "nothing here needs a license"
NO_UPLOAD = "nothing is ever uploaded"
ONE_ENGINE = "there is one storage engine"


def runtime(flags: str) -> tuple[Option, ...]:
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


def unsupported(flags: str, group: Group, reason: str, help: str, *, value_name: str | None = "VALUE") -> tuple[Option, ...]:
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
