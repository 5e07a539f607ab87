import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from fedchunk.orchestrator.contract.messages import Span
from fedchunk.orchestrator.recording.timeline import Timeline
from fedchunk.orchestrator.recording.trace import in_order, rounds_shown, trace_events, write_trace


def profile_of(*rounds):
    timeline = Timeline()
    for number, spans in enumerate(rounds, start=1):
        timeline.add(number, spans)
    return timeline.table()


def complete(events):
    return [event for event in events if event["ph"] == "X"]


def test_the_trace_of_a_round_event_by_event(tmp_path):
    table = profile_of(
        [
            Span("coordinator", "pack", 2, 64.0, 0.25),
            Span("n 1", "train", 2, 64.25, 0.5),
            Span("coordinator", "record", 0, 65.0, 0.000004),
        ],
        [Span("n 1", "train", 3, 65.5, 0.5), Span("driver", "record", 0, 65.25, 0.125)],
    )
    write_trace(table, tmp_path / "trace.json")

    trace = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))
    rows = {e["tid"]: e["args"]["name"] for e in trace["traceEvents"] if e["name"] == "thread_name"}
    order = {e["tid"]: e["args"]["sort_index"] for e in trace["traceEvents"] if e["name"] == "thread_sort_index"}
    assert [rows[tid] for tid in sorted(rows, key=order.get)] == ["rounds", "coordinator", "n 1", "driver"]
    assert {event["pid"] for event in trace["traceEvents"]} == {1}
    got = [
        (rows[e["tid"]], e["name"], e["cat"], e["ts"], e["dur"], e["args"]["round"], e["args"]["clients"])
        for e in complete(trace["traceEvents"])
    ]
    assert got == [
        ("rounds", "round 1", "round", 0, 750_000, 1, 2),
        ("coordinator", "pack", "work", 0, 250_000, 1, 2),
        ("n 1", "wait", "wait", 0, 250_000, 1, 0),
        ("n 1", "train", "work", 250_000, 500_000, 1, 2),
        ("coordinator", "record", "work", 1_000_000, 4, 1, 0),
        ("driver", "record", "work", 1_250_000, 125_000, 1, 0),
        ("rounds", "round 2", "round", 1_500_000, 500_000, 2, 3),
        ("n 1", "train", "work", 1_500_000, 500_000, 2, 3),
    ]


TIMES = st.floats(0, 3, allow_subnormal=False)
SPANS = st.builds(Span, st.sampled_from(["n 1", "n 2", "coordinator"]), st.just("pack"), st.just(1), TIMES, TIMES)


@given(st.lists(st.lists(SPANS, min_size=1), min_size=1, max_size=4))
def test_events_are_by_time_and_none_of_a_row_overlaps_another(rounds):
    """Times since 1970, as actors note them."""
    shifted = [
        [Span(s.actor, s.activity, 1, 1.76e9 + 10 * number + s.start_s, s.duration_s) for s in spans]
        for number, spans in enumerate(rounds)
    ]
    events = complete(trace_events(profile_of(*shifted)))

    assert [event["ts"] for event in events] == sorted(event["ts"] for event in events)
    for row in {event["tid"] for event in events}:
        own = [event for event in events if event["tid"] == row]
        assert all(event["dur"] >= 0 for event in own)
        assert all(before["ts"] + before["dur"] <= after["ts"] for before, after in pairwise(own))


def test_a_trace_too_large_for_a_browser_has_the_first_rounds_whole():
    table = profile_of(*([Span("n 1", "train", 1, 2.0 * r + i / 8, 0.125) for i in range(4)] for r in range(5)))

    assert rounds_shown(table, most_events=11) == [1, 2]
    assert rounds_shown(table, most_events=12) == [1, 2, 3]
    assert rounds_shown(table, most_events=1) == [1]
    assert rounds_shown(table) == [1, 2, 3, 4, 5]


def test_actors_are_in_the_order_in_which_people_look_for_them():
    actors = ["driver", "node-10 7", "node-9 100", "coordinator", "node-9 20"]
    assert in_order(actors) == ["coordinator", "node-9 20", "node-9 100", "node-10 7", "driver"]
