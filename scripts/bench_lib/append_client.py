"""The limit of durability on this disk: the same bodies appended to one file, each followed by fdatasync."""

import json
import mmap
import os
import sys
import time
from typing import TypedDict

import numpy as np

from .measure import cpu_s, summary


class Job(TypedDict):
    data: str
    index: str
    file: str
    duration_s: float | None


def run(job: Job) -> dict[str, object]:
    index = np.load(job["index"]).tolist()
    with open(job["data"], "rb") as source:
        data = memoryview(mmap.mmap(source.fileno(), 0, prot=mmap.PROT_READ))
    print("ready", flush=True)
    sys.stdin.readline()
    before, latencies, rows = cpu_s(), [], 0
    with open(job["file"], "ab", buffering=0) as sink:
        started = time.perf_counter()
        for offset, length, count, _ in index:
            began = time.perf_counter()
            if job["duration_s"] is not None and began - started > job["duration_s"]:
                break
            sink.write(data[offset : offset + length])
            os.fdatasync(sink.fileno())
            latencies.append(time.perf_counter() - began)
            rows += count
        elapsed = time.perf_counter() - started
    outcomes = {"synced": len(latencies)}
    figures = {"elapsed_s": elapsed, "rows": rows, "check": None, "unknown_rows": 0, "outcomes": outcomes}
    return {**figures, **summary(latencies), "client_cpu_s": cpu_s() - before}


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.stdin.readline()))), flush=True)
