"""Units of timestamps, by number: what the native parser takes."""

from enum import IntEnum


class Precision(IntEnum):
    AUTO = 0
    SECOND = 1
    MILLISECOND = 2
    MICROSECOND = 3
    NANOSECOND = 4
