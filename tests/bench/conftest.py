"""The benchmarks' data goes into a cache of the test session's own."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def bench_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLIGHTLINE_BENCH_CACHE", str(tmp_path_factory.mktemp("bench")))
        yield
