from hypothesis import given
from hypothesis import strategies as st

from fedchunk.orchestrator.contract.messages import Span
from fedchunk.orchestrator.core.records import SCHEMAS
from fedchunk.orchestrator.recording.timeline import Timeline, Window, one_at_a_time, round_windows, waits

# Times are sums of powers of two, so that every difference is exact.


def rows_of(timeline, **wanted):
    rows = timeline.table().to_pylist()
    return [
        (row["activity"], row["start_s"], row["duration_s"])
        for row in rows
        if all(row[key] == value for key, value in wanted.items())
    ]


def test_waits_are_the_gaps_of_an_actor_from_the_first_span_of_anybody_to_the_end_of_the_last():
    timeline = Timeline()
    timeline.add(
        1,
        [
            Span("a 1", "train", 4, 100.5, 1.0),
            Span("a 1", "score", 1, 101.75, 0.25),
            Span("a 2", "train", 4, 101.0, 2.0),
            Span("coordinator", "pack", 8, 100.0, 0.25),
            Span("coordinator", "aggregate", 8, 103.25, 0.25),
            Span("coordinator", "record", 0, 103.5, 0.5),
        ],
    )

    assert rows_of(timeline, actor="a 1") == [
        ("wait", 0.0, 0.5),
        ("train", 0.5, 1.0),
        ("wait", 1.5, 0.25),
        ("score", 1.75, 0.25),
        ("wait", 2.0, 1.5),
    ]
    assert rows_of(timeline, actor="a 2") == [("wait", 0.0, 1.0), ("train", 1.0, 2.0), ("wait", 3.0, 0.5)]
    coordinator = [("pack", 0.0, 0.25), ("aggregate", 3.25, 0.25), ("record", 3.5, 0.5)]
    assert rows_of(timeline, actor="coordinator") == coordinator
    assert timeline.table().schema.equals(SCHEMAS["profile"], check_metadata=True)
    assert round_windows(timeline.table()) == {1: Window(0.0, 3.5)}


def test_nobody_waits_for_a_round_to_be_written_down_while_the_next_one_runs():
    timeline = Timeline()
    timeline.add(1, [Span("a 1", "train", 4, 0.0, 1.0), Span("coordinator", "record", 0, 1.0, 1.0)])
    timeline.add(2, [Span("a 1", "train", 4, 1.25, 1.0), Span("coordinator", "record", 0, 2.25, 1.0)])

    assert rows_of(timeline, actor="a 1") == [("train", 0.0, 1.0), ("train", 1.25, 1.0)]
    assert rows_of(timeline, activity="record") == [("record", 1.0, 1.0), ("record", 2.25, 1.0)]
    assert round_windows(timeline.table()) == {1: Window(0.0, 1.0), 2: Window(1.25, 2.25)}


def test_gaps_below_a_tenth_of_a_millisecond_are_no_waits():
    timeline = Timeline()
    timeline.add(
        1, [Span("a 1", "fetch", 1, 0.0, 1.0), Span("a 1", "train", 1, 1.00009, 1.0), Span("a 1", "pack", 1, 2.0002, 1)]
    )

    assert [row[0] for row in rows_of(timeline)] == ["fetch", "train", "wait", "pack"]


def test_an_actor_without_work_in_a_round_between_two_of_its_own_waited_all_of_it():
    timeline = Timeline()
    for number, actors in enumerate([["a 1", "a 2"], ["a 1"], ["a 1", "a 2", "a 3"], ["a 1"]], start=1):
        timeline.add(number, [Span(actor, "train", 1, 2.0 * number, 1.0) for actor in actors])

    assert rows_of(timeline, activity="wait") == [("wait", 2.0, 1.0)]
    assert rows_of(timeline, activity="wait", actor="a 2", round=2)


def test_what_the_driver_noted_belongs_to_the_round_before_and_stretches_no_round():
    timeline = Timeline()
    timeline.add(1, [Span("a 1", "train", 1, 10.0, 1.0)])
    timeline.add(2, [Span("a 1", "train", 1, 11.0, 1.0), Span("driver", "record", 0, 11.5, 2.0)])

    assert rows_of(timeline, actor="driver", round=1) == [("record", 1.5, 2.0)]
    assert round_windows(timeline.table()) == {1: Window(0.0, 1.0), 2: Window(1.0, 2.0)}
    assert rows_of(timeline, activity="wait") == []


def test_a_round_does_not_begin_before_the_round_before_has_ended():
    """A call that raised leaves its spans to the actor's next answer."""
    timeline = Timeline()
    timeline.add(1, [Span("a 1", "train", 1, 0.0, 4.0)])
    timeline.add(
        2,
        [Span("a 2", "train", 1, 1.0, 1.0), Span("a 2", "train", 1, 5.0, 1.0), Span("a 1", "train", 1, 4.0, 2.0)],
    )

    assert round_windows(timeline.table()) == {1: Window(0.0, 4.0), 2: Window(4.0, 6.0)}
    assert rows_of(timeline, activity="wait") == [("wait", 4.0, 1.0)]


def test_a_span_in_another_is_taken_out_of_it():
    outer, inner = Span("a 1", "aggregate", 3, 0.0, 4.0), Span("a 1", "pack", 1, 1.0, 1.0)

    assert [tuple(piece) for piece in one_at_a_time([inner, outer])] == [
        ("aggregate", 3, 0.0, 1.0),
        ("pack", 1, 1.0, 2.0),
        ("aggregate", 3, 2.0, 4.0),
    ]


def test_without_spans_the_table_is_empty():
    timeline = Timeline()
    timeline.add(1, [])
    assert timeline.table().equals(SCHEMAS["profile"].empty_table(), check_metadata=True)


EIGHTHS = st.integers(0, 80).map(lambda number: number / 8)
SPANS = st.lists(st.builds(Span, st.just("a 1"), st.sampled_from(["train", "pack"]), st.just(1), EIGHTHS, EIGHTHS))


@given(SPANS)
def test_pieces_and_waits_together_fill_the_round_once(spans):
    pieces = one_at_a_time(spans)

    everything = sorted([*pieces, *waits(pieces, Window(0.0, 20.0))], key=lambda piece: piece.start_s)
    assert all(piece.stop_s > piece.start_s for piece in everything)
    assert [piece.start_s for piece in everything] == [0.0, *(piece.stop_s for piece in everything[:-1])]
    assert everything[-1].stop_s == 20.0


@given(SPANS)
def test_somebody_who_works_is_shown_at_what_he_began_last(spans):
    pieces = one_at_a_time(spans)

    for eighth in range(160):
        middle = eighth / 8 + 1 / 16
        open_ = [span for span in spans if span.start_s < middle < span.start_s + span.duration_s]
        shown = [piece for piece in pieces if piece.start_s < middle < piece.stop_s]
        assert len(shown) == bool(open_)
        if open_:
            latest = max(span.start_s for span in open_)
            assert shown[0].activity in {span.activity for span in open_ if span.start_s == latest}
