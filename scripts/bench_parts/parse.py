"""What it costs to read line protocol: python scripts/bench_parts/parse.py [lines]

cpu is TSBS cpu-only (10 tags, 10 integers, some 345 bytes a line); the mixes have three tags and ten fields of one kind; agents
is five tables taking turns. Bodies of 5,000 lines, thread CPU time, best of several passes. Warm: series and spellings known.
Cold: a new schema, and settling is counted. Ratios are against finding the newlines of the same bytes (memchr) and against
copying them.
"""

import itertools
import random
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from engine._native import LineSchema, Parsed, SeriesIndex, parse

START_NS = 1_451_606_400_000_000_000
STEP_NS = 10_000_000_000
BODY_LINES = 5000
PASSES = 7
REGIONS = ["us-east-1", "us-west-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-1", "ap-northeast-1", "sa-east-1"]
CPU_FIELDS = ["user", "system", "idle", "nice", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"]


def cpu(hosts: int, rng: random.Random) -> Iterator[str]:
    """All hosts of one time, then of the next."""
    prefixes = []
    for host in range(hosts):
        region = rng.choice(REGIONS)
        os = rng.choice(["Ubuntu16.10", "Ubuntu16.04LTS", "Ubuntu15.10"])
        tags = f"hostname=host_{host},region={region},datacenter={region}{rng.choice('abc')},rack={rng.randrange(100)},os={os}"
        tags += f",arch={rng.choice(['x64', 'x86'])},team={rng.choice(['SF', 'NYC', 'LON', 'CHI'])},service={rng.randrange(20)}"
        tags += f",service_version={rng.randrange(2)},service_environment={rng.choice(['production', 'staging', 'test'])}"
        prefixes.append(f"cpu,{tags} ")
    values = [rng.randrange(101) for _ in CPU_FIELDS]
    for row in range(1 << 30):
        values[row % 10] = rng.randrange(101)
        fields = ",".join(f"usage_{name}={value}i" for name, value in zip(CPU_FIELDS, values, strict=True))
        yield f"{prefixes[row % hosts]}{fields} {START_NS + row // hosts * STEP_NS}\n"


def mix(hosts: int, value: Callable[[], str], tables: list[str]) -> Iterator[str]:
    for row in range(1 << 30):
        host = row // len(tables) % hosts
        series = f"{tables[row % len(tables)]},host=server{host:04},region={REGIONS[host % 8]},rack={host % 40}"
        fields = ",".join(f"f{at}={value()}" for at in range(10))
        yield f"{series} {fields} {START_NS + row // hosts * STEP_NS}\n"


def shapes(rng: random.Random) -> dict[str, Iterator[str]]:
    def word() -> str:
        return '"' + "abcdefghijklmnopqrstuvwxyz"[: rng.randrange(4, 26)] + '"'

    def short() -> str:
        return f"{rng.uniform(0, 100):.2f}"

    makers: list[Callable[[], str]] = [
        short,
        lambda: f"{rng.randrange(10**9)}i",
        word,
        lambda: rng.choice(["t", "false"]),
        lambda: f"{rng.randrange(99)}u",
    ]
    turns = itertools.cycle(makers)

    def any_kind() -> str:
        return next(turns)()

    agents = ["cpu", "mem", "disk", "net", "system"]
    return {
        "cpu, 100 hosts": cpu(100, rng),
        "cpu, 4,000 hosts": cpu(4000, rng),
        "integers to 10^9": mix(100, lambda: f"{rng.randrange(10**9)}i", ["m"]),
        "floats, 2 decimals": mix(100, short, ["m"]),
        "floats, 17 digits": mix(100, lambda: repr(rng.uniform(0, 100)), ["m"]),
        "strings": mix(100, word, ["m"]),
        "all kinds": mix(100, any_kind, ["m"]),
        "agents, 5 tables": mix(100, short, agents),
    }


class Database:
    def __init__(self) -> None:
        self.schema = LineSchema()
        self.indices: dict[str, SeriesIndex] = {}

    def read(self, body: bytes) -> Parsed:
        parsed = parse(self.schema, body, 4, START_NS)
        assert not parsed.errors
        for table in parsed.tables:
            if table.is_new:
                self.indices[table.name] = SeriesIndex(len(table.tags))
                self.schema.put_table(table.name, table.tags, table.new_fields, self.indices[table.name])
            table.settle(self.indices[table.name])
        return parsed


def seconds(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(PASSES):
        begin = time.thread_time_ns()
        work()
        best = min(best, (time.thread_time_ns() - begin) / 1e9)
    return best


def report(name: str, bodies: list[bytes], lines: int) -> None:
    size = sum(map(len, bodies))
    warm = Database()
    for body in bodies * 2:
        warm.read(body)

    def read_cold() -> None:
        cold = Database()
        for body in bodies:
            cold.read(body)

    known = seconds(lambda: [warm.read(body) for body in bodies])
    cold = seconds(read_cold)
    newlines = seconds(lambda: [body.count(b"\n") for body in bodies])
    copy = seconds(lambda: [bytearray(body) for body in bodies])
    print(
        f"  {name:20}{size / lines:7.0f}{lines / known / 1e6:9.2f}{size / known / 1e9:8.2f}{lines / cold / 1e6:9.2f}"
        f"{known / newlines:11.1f}{known / copy:9.1f}"
    )


def main() -> None:
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else 40_000
    print("                      bytes/   warm              cold     warm takes so many times")
    print("  lines                 line  M lines/s  GB/s  M lines/s   memchr     copy")
    for name, made in shapes(random.Random(1)).items():
        bodies = ["".join(islice(made, BODY_LINES)).encode() for _ in range(max(1, lines // BODY_LINES))]
        report(name, bodies, len(bodies) * BODY_LINES)


if __name__ == "__main__":
    main()
