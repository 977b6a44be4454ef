"""What a scan says that it looked at (X1, X2)."""

from engine.buffer.rows import HeldFile
from engine.files.manifest import DataFile
from engine.query.report import Narrowing, ScanReport, files_read


def file(name: str) -> HeldFile:
    return HeldFile(DataFile(name, 1, 1, 10, 100, 0, 9))


def test_what_is_left_out_goes_to_the_first_reason_that_excluded_it() -> None:
    """X2."""
    a, b, c, d = (file(name) for name in "abcd")
    files = Narrowing[HeldFile]()

    files.begins([a, b, c, d])
    files.leaves("time", [a, b, c])
    files.leaves("tags", [a, b, c])
    files.leaves("bloom filter", [b])

    assert files.all == [a, b, c, d]
    assert files.left == [b]
    assert files.excluded() == [("time", [d]), ("bloom filter", [a, c])]


def test_like_items_are_not_taken_for_each_other() -> None:
    """X2."""
    one, other = file("a"), file("a")
    files = Narrowing[HeldFile]()

    files.begins([one, other])
    files.leaves("time", [other])

    ((_, gone),) = files.excluded()
    assert gone[0] is one


def test_a_report_keeps_the_lists_it_is_given() -> None:
    """X1: handing over is all that a scan pays for."""
    given = [file(name) for name in "abc"]
    files = Narrowing[HeldFile]()

    files.begins(given)

    assert files.all is given
    assert files.left is given
    assert Narrowing[HeldFile]().left == ()


def test_a_file_that_two_scans_read_is_one_file() -> None:
    reports = [ScanReport("t"), ScanReport("t"), ScanReport("u")]
    for report, names in zip(reports, ("ab", "bc", ""), strict=True):
        report.files.begins([file(name) for name in names])

    assert files_read(reports) == 3
