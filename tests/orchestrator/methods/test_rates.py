"""The rates of rounds: of a schedule, of a list, and what is said of a schedule that gives none."""

from pathlib import Path

import pytest

from fedchunk.orchestrator.component_source import find
from fedchunk.orchestrator.components import Components
from fedchunk.orchestrator.core.errors import ComponentFailed
from fedchunk.orchestrator.methods.rates import learning_rates, server_learning_rates
from fedchunk.orchestrator.registry import KINDS
from fedchunk.orchestrator.settings.sections import FederationSettings, TrainingSettings
from fedchunk.orchestrator.settings.whole import Settings


def rates(**training: object) -> list[float]:
    federation = FederationSettings(federated_learning_rounds=5)
    settings = Settings(training=TrainingSettings(learning_rate=0.1, **training), federation=federation)
    return [learning_rates(settings)(round_index) for round_index in range(1, 7)]


def own(folder: Path, body: str, key: str = "learning_rate_schedule") -> Settings:
    (folder / "mine.py").write_text(f"def mine(round_index, rounds, half=2):\n    {body}\n")
    component = find(KINDS[key], "./mine.py:mine", folder)
    if key == "learning_rate_schedule":
        return Settings(training=TrainingSettings(**{key: component.name}), components=Components((component,)))
    federation = FederationSettings(server_learning_rate=0.5, **{key: component.name})
    return Settings(federation=federation, components=Components((component,)))


def test_a_constant_rate_is_exactly_the_settings_rate():
    assert rates() == [0.1] * 6


def test_a_schedule_by_name_gives_factors_and_takes_options():
    assert rates(learning_rate_schedule="cosine")[:5] == pytest.approx([0.1, 0.0853553, 0.05, 0.0146447, 0.0], abs=1e-7)
    assert rates(learning_rate_schedule="cosine", learning_rate_schedule_options={"final": 0.5})[4] == 0.05


def test_a_list_gives_the_first_rounds_rates_and_the_last_stays():
    assert rates(learning_rate_schedule=(0.3, 0.2)) == [0.3, 0.2, 0.2, 0.2, 0.2, 0.2]


def test_both_rates_may_follow_a_schedule_of_ones_own(tmp_path):
    body = "return half ** -(round_index - 1) + 0 * rounds"
    assert learning_rates(own(tmp_path, body))(3) == pytest.approx(0.01 / 4)
    server = own(tmp_path, body, "server_learning_rate_schedule")
    assert [server_learning_rates(server)(r) for r in (1, 2)] == [0.5, 0.25]
    assert learning_rates(server)(2) == 0.01
    listed = Settings(federation=FederationSettings(server_learning_rate_schedule=(2.0, 1.5)))
    assert [server_learning_rates(listed)(r) for r in (1, 2, 3)] == [2.0, 1.5, 1.5]


def test_a_factor_of_0_is_allowed(tmp_path):
    assert learning_rates(own(tmp_path, "return 0"))(1) == 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return float('nan')", r":1\): returned nan in round 2, expected a finite factor of at least 0"),
        ("return -0.1", "returned -0.1 in round 2"),
        ("return float('inf')", "returned inf in round 2"),
        ("return None", "returned None in round 2"),
        ("return True", "returned True in round 2"),
        ("return 1 / 0", r":2\): ZeroDivisionError"),
    ],
)
@pytest.mark.parametrize("key", ["learning_rate_schedule", "server_learning_rate_schedule"])
def test_what_is_no_factor_is_named_with_its_place(tmp_path, body, reason, key):
    rates = learning_rates if key == "learning_rate_schedule" else server_learning_rates
    with pytest.raises(ComponentFailed, match=reason) as caught:
        rates(own(tmp_path, body, key))(2)
    assert str(caught.value).startswith(f"{key} ./mine.py:mine ({tmp_path / 'mine.py'}")
