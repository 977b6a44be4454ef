"""Which statements were really planned."""

import pytest

from engine.query import statement


@pytest.fixture
def plannings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Their texts, in order."""
    texts: list[str] = []
    plan = statement._Planner.plan

    def noted(planner: statement._Planner, text: str) -> object:
        texts.append(text)
        return plan(planner, text)

    monkeypatch.setattr(statement._Planner, "plan", noted)
    return texts
