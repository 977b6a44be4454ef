"""Every option of `influxdb3 serve`, declared once, as data.

    declared (what an option is) ─▶ kinds, absent ─▶ a module for each topic ─▶ OPTIONS, in the order of the help text

O1  An option either sets one value (`sets`), or names in one sentence why this version cannot do it (`unsupported`), or says
    why it changes nothing (`already`: the server behaves like this anyway; `no_effect`: there is nothing here to tune).
O2  Its variable is INFLUXDB3_ and the flag in upper snake case, for older spellings too, unless `env` lists its names.
O3  A value never comes with an unparsed unit: `kind` turns the text into what `sets` expects, in the unit its name ends with.

Held by tests/unit/flightserver/test_config_declarations.py (O1, O2) and tests/unit/flightserver/test_config.py (O3).

Elsewhere: command line, environment, .env and what follows from the values together (config.py); the help text (cli/serve.py).
"""

from flightserver.options.declared import Group, Option
from flightserver.options.foreign import LICENSE_AND_TESTS, PROCESSING, RUNTIME, SEVERAL_NODES
from flightserver.options.logs import LOGS
from flightserver.options.network import ACCESS, NETWORK
from flightserver.options.queries import LIMITS, MEMORY_AND_QUERIES
from flightserver.options.settling import LOG_AND_SETTLING
from flightserver.options.storage import NODE, OBJECT_STORE

OPTIONS: tuple[Option, ...] = (
    *NODE,
    *NETWORK,
    *OBJECT_STORE,
    *LOG_AND_SETTLING,
    *MEMORY_AND_QUERIES,
    *LIMITS,
    *ACCESS,
    *LOGS,
    *PROCESSING,
    *SEVERAL_NODES,
    *RUNTIME,
    *LICENSE_AND_TESTS,
)
GROUPS: tuple[Group, ...] = tuple(dict.fromkeys(option.group for option in OPTIONS))
