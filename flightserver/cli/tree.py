"""Every command of `influxdb3` and every option it takes: read from top to bottom, this is the command line.

T1  What is not declared here does not exist: parsing, help and completion know nothing else.
T2  A command whose feature is not part of this version says so in one sentence, and help does not show it.
T3  Spellings of older versions stay: other flags in `also`, other paths in OLDER_PATHS.

Held by tests/unit/flightserver/cli/test_tree.py (T1-T3).
Elsewhere: the options of `serve` (flightserver.options), what a command does (the module that `run` names).
"""

from flightserver.cli.declared import Argument, Command, Option
from flightserver.cli.kinds import address, duration, duration_or_none, fields, listed, positive, precision, whole
from flightserver.cli.parsing import Tree

# ------------------------------------------------------------------------------------------- options used several times

CONNECTION = "Connection"


def _host(also: str | None = None, variable: str | None = None) -> Option:
    return Option(
        "--host",
        "The server: http, https, or grpc and grpc+tls where only the gRPC port can be reached.",
        value="URL",
        short="-H",
        group=CONNECTION,
        default="http://127.0.0.1:8181",
        also=(also,) if also else (),
        env=((variable,) if variable else ()) + ("INFLUXDB3_HOST_URL",),
        kind=address,
    )


HOST = _host()
TOKEN = Option("--token", "Token to show.", value="TOKEN", group=CONNECTION, env=("INFLUXDB3_AUTH_TOKEN",))
TLS = (
    Option(
        "--tls-ca",
        "Certificates to trust instead of the system's.",
        value="FILE",
        group=CONNECTION,
        env=("INFLUXDB3_TLS_CA",),
        rare=True,
    ),
    Option(
        "--tls-no-verify",
        "Trust any certificate.",
        group=CONNECTION,
        env=("INFLUXDB3_TLS_NO_VERIFY",),
        rare=True,
    ),
)
SERVER = (HOST, TOKEN, *TLS)

DATABASE = Option(
    "--database",
    "The database.",
    value="DATABASE_NAME",
    short="-d",
    env=("INFLUXDB3_DATABASE_NAME",),
    also=("--db",),
    required=True,
)
DATABASE_FOR_WRITES = DATABASE._replace(also=("--db", "--bucket"))
YES = Option("--yes", "Do not ask.", short="-y")
RETENTION = Option("--retention-period", "How long rows are kept, as 30d or 12h; without it for ever.", value="DURATION")
HARD_DELETE = Option(
    "--hard-delete",
    "When the data is removed for good: never, now, default (after 72 hours), or a time such as 2030-01-01T00:00:00Z.",
    value="WHEN",
    also=("--hard-delete-at",),
)
FORMATS = ("pretty", "json", "jsonl", "csv", "parquet")
FORMAT = Option(
    "--format",
    "How rows are printed.",
    value="FORMAT",
    default="pretty",
    choices=FORMATS,
    older_choices=(("json_lines", "jsonl"),),
)
FULL = Option("--full", "Do not shorten what is wider than the terminal.", rare=True)
OUTPUT = Option("--output", "Write to this file instead of the terminal.", value="FILE", short="-o")
TOKEN_FORMAT = Option("--format", "text or json.", value="FORMAT", default="text", choices=("text", "json"))
CATALOG = (
    Option(
        "--catalog-prefix",
        "Where the catalog lies in the store: the --cluster-id of `serve`, or else its --node-id.",
        value="PREFIX",
        also=("--cluster-id",),
    ),
    Option("--format", "pretty or json.", value="FORMAT", default="pretty", choices=("pretty", "json")),
)
ORGANISATION = Option("--org", "Read and dropped: there are no organisations here.", value="NAME", ignored=True)

# ------------------------------------------------------------------------------------------------------------ commands

NO_CACHES = "it has no last value and distinct value caches yet; `ORDER BY time DESC LIMIT` and `SELECT DISTINCT` are quick"
NO_PLUGINS = "it has no processing engine yet, so there are no plugins and triggers"
NO_INDEXES = "file indexes are chosen by the server; there is nothing to declare"
NO_CLUSTER = "it runs as one node"
NO_LICENSE = "it needs no license"

COMMANDS = (
    Command(
        "serve",
        "Start the server: writes and queries over HTTP and Arrow Flight on one port.",
        "serve:run",
        more_options="serve:options",
        examples="""\
Examples:
  influxdb3 serve --node-id node0 --object-store file --data-dir ~/.influxdb3
  influxdb3 serve --node-id node0 --object-store memory
  influxdb3 serve --node-id node0 --object-store s3 --bucket my-bucket \\
      --aws-access-key-id KEY --aws-secret-access-key SECRET""",
    ),
    # ------------------------------------------------------------------------------------------------- query and write
    Command(
        "query",
        "Ask a question in SQL and print the answer.",
        "query:run",
        (
            DATABASE,
            Option(
                "--language",
                "What the statement is written in.",
                value="LANGUAGE",
                short="-l",
                default="sql",
                also=("--lang",),
                choices=("sql", "influxql"),
            ),
            FORMAT,
            OUTPUT,
            Option("--file", "Read the statement from this file; - is the standard input.", value="FILE", short="-f"),
            FULL,
            _host("--query-host", "INFLUXDB3_QUERY_HOST_URL"),
            TOKEN,
            *TLS,
        ),
        (Argument("QUERY", "The statement; else --file, else the standard input.", required=False, quoted=True),),
        examples="""\
Examples:
  influxdb3 query --database sensors "SELECT * FROM home ORDER BY time DESC LIMIT 10"
  influxdb3 query -d sensors --format parquet --output home.parquet "SELECT * FROM home"
  echo "SHOW TABLES" | influxdb3 query -d sensors""",
    ),
    Command(
        "write",
        "Write line protocol from the command line, from files or from the standard input.",
        "write:run",
        (
            DATABASE_FOR_WRITES,
            Option("--file", "A file of lines, plain or gzipped; may be repeated.", value="FILE", short="-f", many=True),
            Option(
                "--precision",
                "Unit of the timestamps: ns, us, ms, s or auto; without it the server finds out.",
                value="PRECISION",
                short="-p",
                kind=precision,
            ),
            Option(
                "--accept-partial",
                "Keep the good lines of a request when others are refused (the default).",
                value="BOOL",
                bare="true",
                choices=("true", "false"),
            ),
            Option("--no-sync", "Do not wait until the rows are durable."),
            Option("--gzip", "Compress what is sent."),
            Option("--lp", "Lines, as if they were the argument.", value="LINES", rare=True),
            Option(
                "--max-request-size",
                "Input is sent in pieces of at most this many bytes, cut at line ends.",
                value="BYTES",
                default="10485760",
                kind=positive,
                rare=True,
            ),
            Option(
                "--max-concurrent-requests",
                "How many pieces may be under way at the same time.",
                value="N",
                default="32",
                kind=positive,
                rare=True,
            ),
            Option(
                "--start-at",
                "Go on at this byte of the file, as an interrupted write said.",
                value="BYTE",
                default="0",
                kind=whole,
                rare=True,
            ),
            Option("--quiet", "No progress.", short="-q"),
            ORGANISATION,
            _host("--write-host", "INFLUXDB3_WRITE_HOST_URL"),
            TOKEN,
            *TLS,
        ),
        (Argument("LINE_PROTOCOL", "Lines, each in quotes; else --file, else the standard input.", required=False, many=True),),
        examples="""\
Examples:
  influxdb3 write --database sensors 'home,room=Kitchen temp=21.5'
  influxdb3 write --database sensors --file lines.lp.gz --precision s
  generate | influxdb3 write -d sensors""",
    ),
    # --------------------------------------------------------------------------------------------------------- create
    Command(
        "create database",
        "Make a database.",
        "create:database",
        (RETENTION._replace(kind=duration), *SERVER),
        (Argument("DATABASE_NAME", "Its name.", env=("INFLUXDB3_DATABASE_NAME",)),),
    ),
    Command(
        "create table",
        "Make a table, and its database if it is missing.",
        "create:table",
        (
            DATABASE,
            Option("--tags", "Its tags, in the order of the series key.", value="NAMES", kind=listed, many=True),
            Option(
                "--fields",
                "Its fields, as name:type with int64, uint64, float64, utf8 or bool.",
                value="FIELDS",
                short="-f",
                kind=fields,
                many=True,
            ),
            RETENTION._replace(kind=duration),
            *SERVER,
        ),
        (Argument("TABLE_NAME", "Its name."),),
        examples="Example:\n  influxdb3 create table -d sensors --tags room,sensor --fields temp:float64,co:int64 home",
    ),
    Command(
        "create token",
        "Make a token: for administrators with --admin, else with --permission.",
        "tokens:create",
        (
            Option("--admin", "A token that may do everything; the first one is the operator's."),
            Option("--name", "The token's name.", value="NAME"),
            Option("--expiry", "How long it is valid, as 30d or 1y.", value="DURATION", kind=duration, also=("--expiry-secs",)),
            Option(
                "--permission",
                "What it may do, as db:mydb:read,write; may be repeated.",
                value="PERMISSION",
                many=True,
            ),
            Option("--regenerate", "A new operator token in place of the old one."),
            TOKEN_FORMAT,
            Option("--offline", "Make a file for `serve` instead of asking a server.", rare=True),
            Option("--output-file", "Where to, with --offline.", value="FILE", rare=True),
            Option(
                "--create-databases",
                "Databases that `serve` makes from the file, with --offline.",
                value="NAMES",
                kind=listed,
                rare=True,
            ),
            YES,
            *SERVER,
        ),
        examples="""\
Examples:
  influxdb3 create token --admin
  influxdb3 create token --permission db:sensors:read --name dashboard --token OPERATOR""",
    ),
    Command("create last_cache", "Make a last value cache.", absent=NO_CACHES),
    Command("create distinct_cache", "Make a distinct value cache.", absent=NO_CACHES),
    Command("create trigger", "Make a trigger.", absent=NO_PLUGINS),
    Command("create plugin", "Name a plugin.", absent=NO_PLUGINS),
    Command("create file_index", "Make a file index.", absent=NO_INDEXES),
    Command("create query_group", "Make a group of query nodes.", absent=NO_CLUSTER),
    # --------------------------------------------------------------------------------------------------------- delete
    Command(
        "delete database",
        "Delete a database.",
        "delete:database",
        (
            HARD_DELETE,
            Option("--data-only", "Delete the rows and keep the database with its tables."),
            Option("--remove-tables", "With --data-only: delete the tables, too."),
            YES,
            *SERVER,
        ),
        (Argument("DATABASE_NAME", "Its name.", env=("INFLUXDB3_DATABASE_NAME",)),),
    ),
    Command(
        "delete table",
        "Delete a table.",
        "delete:table",
        (DATABASE, HARD_DELETE, Option("--data-only", "Delete the rows and keep the table."), YES, *SERVER),
        (Argument("TABLE_NAME", "Its name."),),
    ),
    Command(
        "delete token",
        "Delete a token: it stops working at once.",
        "tokens:delete",
        (Option("--token-name", "The token's name.", value="NAME", required=True, also=("--name",)), YES, *SERVER),
    ),
    Command("delete last_cache", "Delete a last value cache.", absent=NO_CACHES),
    Command("delete distinct_cache", "Delete a distinct value cache.", absent=NO_CACHES),
    Command("delete trigger", "Delete a trigger.", absent=NO_PLUGINS),
    Command("delete plugin", "Forget a plugin.", absent=NO_PLUGINS),
    Command("delete file_index", "Delete a file index.", absent=NO_INDEXES),
    Command("delete query_group", "Delete a group of query nodes.", absent=NO_CLUSTER),
    Command("delete rows", "Delete rows.", absent="rows go with their table, their database or by retention"),
    # --------------------------------------------------------------------------------------------------------- update
    Command(
        "update database",
        "Change how long a database keeps its rows.",
        "update:database",
        (DATABASE, RETENTION._replace(short="-r", help="As 30d or 12h; none for ever.", kind=duration_or_none), *SERVER),
    ),
    Command(
        "update table",
        "Change how long a table keeps its rows.",
        "update:table",
        (DATABASE, RETENTION._replace(short="-r", help="As 30d or 12h; none for ever.", kind=duration_or_none), *SERVER),
        (Argument("TABLE_NAME", "Its name."),),
    ),
    Command("update trigger", "Change a trigger's plugin.", absent=NO_PLUGINS),
    Command("update query_group", "Change a group of query nodes.", absent=NO_CLUSTER),
    # ----------------------------------------------------------------------------------------------------------- show
    Command(
        "show databases",
        "All databases.",
        "show:databases",
        (Option("--show-deleted", "Deleted ones, too."), FORMAT, FULL, OUTPUT, *SERVER),
    ),
    Command("show tokens", "All tokens, without their secrets.", "show:tokens", (FORMAT, FULL, OUTPUT, *SERVER)),
    Command(
        "show retention",
        "How long rows are kept.",
        "show:retention",
        (
            DATABASE._replace(required=False),
            Option("--tables", "Of each table, and whether that is said of the table or of its database."),
            FORMAT,
            FULL,
            OUTPUT,
            *SERVER,
        ),
    ),
    Command("show nodes", "The nodes that share this catalog.", "show:nodes", (FORMAT, FULL, OUTPUT, *SERVER)),
    Command(
        "show system summary",
        "The first rows of every system table.",
        "show:summary",
        (
            DATABASE,
            Option("--limit", "Rows of each table; 0 for all.", value="N", short="-l", default="10", kind=whole),
            FORMAT,
            FULL,
            *SERVER,
        ),
    ),
    Command(
        "show system table",
        "One system table.",
        "show:table",
        (
            DATABASE,
            Option("--limit", "Rows; 0 for all.", value="N", short="-l", default="100", kind=whole),
            Option("--order-by", "Columns to order by, the greatest first.", value="NAMES", short="-o", kind=listed, many=True),
            Option("--select", "Columns to show.", value="NAMES", short="-s", kind=listed, many=True),
            FORMAT,
            FULL,
            OUTPUT._replace(short=None),
            *SERVER,
        ),
        (Argument("SYSTEM_TABLE", "Its name, as `show system table-list` prints it."),),
    ),
    Command(
        "show system table-list",
        "The system tables and their columns.",
        "show:table_list",
        (DATABASE, FORMAT, FULL, OUTPUT, *SERVER),
    ),
    Command("show plugins", "All plugins.", absent=NO_PLUGINS),
    Command("show license", "The license.", absent=NO_LICENSE),
    Command("show query_groups", "The groups of query nodes.", absent=NO_CLUSTER),
    # -------------------------------------------------------------------------------------------------- the other verbs
    Command("enable trigger", "Let a trigger run.", absent=NO_PLUGINS),
    Command("disable trigger", "Stop a trigger.", absent=NO_PLUGINS),
    Command("test wal_plugin", "Try a plugin on lines.", absent=NO_PLUGINS),
    Command("test schedule_plugin", "Try a plugin on a schedule.", absent=NO_PLUGINS),
    Command("install package", "Install packages for plugins.", absent=NO_PLUGINS),
    Command(
        "debug catalog list",
        "The commits of the catalog: when, and what each changed. The store is named as for `serve`.",
        "debug:list_commits",
        (Option("--all", "Those before the last checkpoint, too."), *CATALOG),
        more_options="looking:options",
    ),
    Command(
        "debug catalog snapshot",
        "What there is after the last commit: nodes, databases, tables, tokens. The store is named as for `serve`.",
        "debug:snapshot",
        CATALOG,
        more_options="looking:options",
    ),
    Command(
        "debug catalog sequence",
        "One commit, as it is stored. The store is named as for `serve`.",
        "debug:sequence",
        CATALOG,
        (Argument("SEQUENCE", "Its number; else the last one.", required=False),),
        more_options="looking:options",
        examples="Example:\n  influxdb3 debug catalog sequence 12 --node-id node0 --data-dir ~/.influxdb3",
    ),
    Command(
        "debug verify",
        "Look at all that lies on the store, changing nothing: is it whole? The store is named as for `serve`.",
        "verify:run",
        (Option("--all", "Name the objects that are sound, too."), *CATALOG),
        more_options="looking:options",
        examples="""\
A server may be running on the store. Without --node-id, all nodes and catalogs in it are looked at.
The exit code is 0 when nothing is found, 3 when something is, and 1 when it could not be looked at.

Examples:
  influxdb3 debug verify --data-dir ~/.influxdb3
  influxdb3 debug verify --object-store s3 --bucket my-bucket --node-id node0 --format json""",
    ),
    Command("debug object-store-check", "Try the object store.", absent="`serve` tries the store whenever it starts"),
    Command("stop node", "Stop a node.", absent="end its process with SIGTERM; it stops in order"),
    Command("remove node", "Forget a node.", absent=NO_CLUSTER),
    Command("import", "Import files.", absent="`query --format parquet` exports, Flight's DoPut and `write` import"),
    Command("loadcap", "Record load.", absent="`show system table queries` lists what was asked"),
    Command("backup", "Back up.", absent="stop the server, and copy its directory or its bucket"),
    Command(
        "restore",
        "Restore a backup.",
        absent="stop the server, put the copy in place, and start it; `influxdb3 debug verify` looks at a copy",
    ),
    Command(
        "completion",
        "Print what makes a shell complete commands: source <(influxdb3 completion bash)",
        "completion:script",
        arguments=(Argument("SHELL", "bash, zsh or fish."),),
        examples="""\
Examples:
  bash:  source <(influxdb3 completion bash)          in ~/.bashrc
  zsh:   source <(influxdb3 completion zsh)           in ~/.zshrc, after compinit
  fish:  influxdb3 completion fish | source           in ~/.config/fish/config.fish""",
    ),
    Command(
        "complete",
        "What may follow; asked by the shells.",
        "completion:complete",
        arguments=(Argument("WORDS", "What has been typed.", required=False, many=True),),
        hidden=True,
    ),
)

#: paths of older versions and what they are called now; `delete delete` stands in an early document
OLDER_PATHS = {
    "q": "query",
    "w": "write",
    "show s": "show system",
    "show summary": "show system summary",
    "show table-list": "show system table-list",
    "show table": "show system table",
    "show system_tables": "show system table-list",
    "create meta_cache": "create distinct_cache",
    "delete meta_cache": "delete distinct_cache",
    "delete delete": "delete last_cache",
    "activate trigger": "enable trigger",
    "deactivate trigger": "disable trigger",
    "file-index create": "create file_index",
    "file-index delete": "delete file_index",
    "test wal": "test wal_plugin",
    "debug catalog ls": "debug catalog list",
}


def declared_options(command: Command) -> tuple[Option, ...]:
    """A command's options, asked from the module that declares them where it is not this one."""
    if not command.more_options:
        return command.options
    from flightserver.cli.load import load  # only `serve` has hundreds of options, and nobody else pays for them

    found = load(command.more_options)()
    assert isinstance(found, tuple)
    return (*command.options, *found)


TREE = Tree(COMMANDS, OLDER_PATHS, declared_options)
