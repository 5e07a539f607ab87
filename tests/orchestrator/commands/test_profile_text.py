import re

from fedchunk.orchestrator.commands.profile_text import usage_text
from fedchunk.orchestrator.contract.messages import Span
from fedchunk.orchestrator.recording.timeline import Timeline


def profile_of(*rounds):
    timeline = Timeline()
    for number, spans in enumerate(rounds, start=1):
        timeline.add(number, spans)
    return timeline.table()


def cells(text):
    """The text's lines, each cut at runs of two spaces."""
    return [re.split(r" {2,}", line.strip()) for line in text.splitlines() if line]


def test_seconds_and_shares_by_activity_and_a_line_for_each_client_actor():
    text = usage_text(
        profile_of(
            [
                Span("n 1", "train", 1, 0.0, 4.0),
                Span("n 2", "train", 1, 0.0, 2.0),
                Span("n 2", "pack", 1, 2.0, 1.0),
                Span("coordinator", "aggregate", 1, 3.0, 1.0),
            ],
            [
                Span("n 1", "train", 1, 10.0, 4.0),
                Span("n 2", "evaluate", 1, 10.0, 3.0),
                Span("driver", "record", 0, 11.0, 2.0),
            ],
        )
    )

    assert cells(text) == [
        ["time of 2 rounds: 8.00 s"],
        ["2 client actors", "share", "coordinator", "share", "driver", "share"],
        ["wait", "2.00 s", "12.5 %", "-", "-", "-", "-"],
        ["train", "10.00 s", "62.5 %", "-", "-", "-", "-"],
        ["pack", "1.00 s", "6.2 %", "-", "-", "-", "-"],
        ["aggregate", "-", "-", "1.00 s", "12.5 %", "-", "-"],
        ["evaluate", "3.00 s", "18.8 %", "-", "-", "-", "-"],
        ["record", "-", "-", "-", "-", "2.00 s", "25.0 %"],
        ["busy", "14.00 s", "87.5 %", "1.00 s", "12.5 %", "2.00 s", "25.0 %"],
        ["client actor", "busy", "wait", "train", "pack", "evaluate"],
        ["n 1", "100.0 %", "0.0 %", "100.0 %", "0.0 %", "0.0 %"],
        ["n 2", "75.0 %", "25.0 %", "25.0 %", "12.5 %", "37.5 %"],
    ]


def test_an_actor_that_came_later_is_measured_by_the_rounds_it_was_there():
    text = usage_text(profile_of([Span("n 1", "train", 1, 0.0, 4.0)], [Span("n 2", "train", 1, 4.0, 4.0)]))

    assert cells(text)[-2:] == [["n 1", "100.0 %", "100.0 %"], ["n 2", "100.0 %", "100.0 %"]]
    assert ["busy", "8.00 s", "100.0 %"] in cells(text)


def test_of_many_actors_those_that_waited_longest_are_named_and_all_are_in_the_sum():
    text = usage_text(profile_of([Span(f"n {i}", "train", 1, 0.0, float(i)) for i in range(1, 21)]))

    lines = cells(text)
    assert [line[0] for line in lines if line[0].startswith("n ")] == [f"n {i}" for i in range(1, 9)]
    assert lines[-1] == ["and 12 more that waited less"]
    assert ["train", "210.00 s", "52.5 %"] in lines
