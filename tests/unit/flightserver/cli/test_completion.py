"""What shells are offered."""

import pytest

from flightserver.cli.completion import candidates
from flightserver.cli.tree import TREE


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("", ["serve", "query", "write", "create", "delete", "update", "show", "debug", "completion"]),
        ("sh", ["show"]),
        ("create ", ["database", "table", "token"]),
        ("show system ", ["summary", "table", "table-list"]),
        ("query --form", ["--format"]),
        ("query --format ", ["pretty", "json", "jsonl", "csv", "parquet"]),
        ("query --format j", ["json", "jsonl"]),
        ("query --format=j", ["--format=json", "--format=jsonl"]),
        ("query --format json --for", []),
        ("write --file x --fi", ["--file"]),
        ("write --file ", []),
        ("show system -d x su", ["summary"]),
        ("create table --ta", ["--tags"]),
        ("serve --node-id", ["--node-id", "--node-id-from-env"]),
    ],
)
def test_what_is_offered_is_what_may_follow(typed: str, offered: list[str]) -> None:
    """M1."""
    assert [word for word, _ in candidates(TREE, typed.split(" "))] == offered
