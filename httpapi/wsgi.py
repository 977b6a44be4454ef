"""What gunicorn loads. The only place of this package that reads the environment.

Elsewhere: who sets these variables (flightserver.sidecar), the application itself (app.py).
"""

import gc
import os
from pathlib import Path

from flightserver.client import EngineClient
from httpapi.app import HttpSettings, create_app
from httpapi.gateway import WATCHING_TIMEOUT_S, Gateway

ENGINE = os.environ["FLIGHTLINE_ENGINE"]

app = create_app(
    Gateway(
        EngineClient(ENGINE, handover_dir=Path(os.environ["FLIGHTLINE_HANDOVER_DIR"])),
        watching=EngineClient(ENGINE, timeout_s=WATCHING_TIMEOUT_S),
    ),
    HttpSettings(
        counters_dir=Path(os.environ["FLIGHTLINE_COUNTERS_DIR"]),
        max_request_bytes=int(os.environ["FLIGHTLINE_MAX_HTTP_REQUEST_BYTES"]),
        with_tokens=os.environ["FLIGHTLINE_WITH_TOKENS"] != "0",
        released=frozenset(os.environ["FLIGHTLINE_RELEASED"].split(",")) - {""},
    ),
)

# Everything loaded so far lives as long as the process: the collector need not look at it again, nor after every 700 objects.
gc.collect()
gc.freeze()
gc.set_threshold(10_000, 20, 50)
