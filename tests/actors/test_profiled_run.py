"""Where the time of a real run goes."""

from collections import defaultdict

import pytest

from fedchunk.orchestrator.core.records import ACTIVITIES
from fedchunk.orchestrator.recording.timeline import Timeline, is_client_actor, round_windows

PEERS = {
    "federated_learning_schema": "DecentralizedFederatedLearning",
    "federated_learning_topology": "ring",
}


def profile_of(notebook):
    timeline = Timeline()
    for result in notebook.results:
        timeline.add(result.round_index, result.spans)
    return timeline.table()


@pytest.mark.parametrize(
    ("changed", "never"),
    [({"evaluate_clients": True}, {"record"}), (PEERS, {"record", "fetch"})],
    ids=["star", "peers"],  # a peer has its weights
)
def test_every_activity_occurs_and_nobody_has_more_time_than_the_rounds_took(make_settings, run_local, changed, never):
    profile = profile_of(run_local(make_settings(profile=True, federated_learning_rounds=3, **changed)))

    rows = profile.to_pylist()
    assert {row["activity"] for row in rows if is_client_actor(row["actor"])} == set(ACTIVITIES) - never
    # Short rounds are recorded together, and what it took is told with the next ones.
    assert {row["round"] for row in rows if row["actor"] == "driver"} <= {1, 2}
    windows = round_windows(profile)
    spent_s = defaultdict(float)
    for row in rows:
        assert row["duration_s"] > 0
        if is_client_actor(row["actor"]):
            spent_s[row["actor"], row["round"]] += row["duration_s"]
            assert row["start_s"] >= windows[row["round"]].start_s
            assert row["start_s"] + row["duration_s"] <= windows[row["round"]].stop_s
    assert {r for _, r in spent_s} == {1, 2, 3}
    for (_, r), seconds in spent_s.items():
        length_s = windows[r].stop_s - windows[r].start_s
        assert 0.5 * length_s < seconds <= length_s + 1e-9


def test_without_profile_no_span_leaves_the_coordinator(make_settings, run_local):
    assert [result.spans for result in run_local(make_settings()).results] == [(), (), ()]


def test_the_share_that_actors_worked_is_recorded_with_and_without_profile(make_settings, run_local):
    for profile in (False, True):
        notebook = run_local(make_settings(profile=profile))
        busy = [row["actors_busy"] for row in notebook.rows("rounds")]
        assert all(0 < share <= 1 for share in busy)
        assert min(busy) <= notebook.summary.actors_busy <= max(busy)
