"""When a child is started again (K3)."""

import itertools

from flightserver.children import Restarts


def test_restarts_grow_rarer_and_then_stop() -> None:
    """K3."""
    restarts = Restarts(most=6)

    delays = [restarts.delay_s(float(second)) for second in range(7)]

    assert delays[-1] is None
    waited = [delay for delay in delays if delay is not None]
    assert len(waited) == 6
    assert all(earlier < later or later == 5.0 for earlier, later in itertools.pairwise(waited))


def test_a_death_now_and_then_is_forgiven() -> None:
    """K3."""
    restarts = Restarts(most=2)

    assert all(restarts.delay_s(hour * 3600.0) == restarts.first_delay_s for hour in range(20))
