"""A table that comes in pieces has the rounds of the whole table, wherever it is cut."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedchunk.analysis import load_run
from fedchunk.analysis.chunk_rounds import rounds_of
from fedchunk.orchestrator.core.errors import RecordsError


def rows(of_round):
    return (
        of_round.round_index,
        *(
            values.tolist()
            for values in (
                of_round.clients_N, of_round.scores_NC, of_round.distances_NC, of_round.selected_NC, of_round.age_NC,
            )
        ),
    )  # fmt: skip


def expected(recipe):
    return [(r, [c for c in recipe.took_part(r) if (r, c) not in recipe.rejected]) for r in recipe.rounds]


@given(cuts=st.lists(st.integers(0, 120), max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_does_not_matter_where_the_pieces_are_cut(realistic_recipe, cuts):
    recipe = realistic_recipe(3, 5, 8, share=0.5)
    table = recipe.tables()["chunks"]
    borders = sorted({0, *(min(cut, table.num_rows) for cut in cuts), table.num_rows})
    pieces = [table.slice(first, stop - first) for first, stop in pairwise(borders)]
    whole = [rows(one) for one in rounds_of([table], 8, "here")]
    assert [rows(one) for one in rounds_of(pieces, 8, "here")] == whole
    assert [(index, clients) for index, clients, *_ in whole] == expected(recipe)


def test_a_round_has_what_the_table_says(write_run, small):
    first, second = load_run(write_run(small)).chunk_rounds()
    assert (first.round_index, first.clients_N.tolist()) == (1, [0, 1, 2])
    assert first.scores_NC[0].tolist() == [4, 3, 2, 1, 0]
    assert second.selected_NC.tolist() == [[False, False, False, True, True]]
    assert second.age_NC.tolist() == [[0, 0, 1, 1, 1]]
    with pytest.raises(ValueError, match="read-only"):
        first.scores_NC[0, 0] = 1


def test_of_a_run_in_progress_it_has_the_finished_rounds(write_run, small):
    path = write_run(small, finished=False)
    (path / "tables" / "rounds.parts" / "part-00002.parquet").unlink()
    assert [one.round_index for one in load_run(path).chunk_rounds()] == [1]


def test_a_row_that_is_missing_is_said(small):
    table = small.tables()["chunks"]
    pieces = [table.slice(0, 7), table.slice(8)]
    with pytest.raises(RecordsError, match="client 1 in round 1 has 4 rows, expected one for each of 5"):
        list(rounds_of(pieces, 5, "here"))


def test_a_round_that_comes_after_a_later_one_is_said(small):
    table = small.tables()["chunks"]
    number = table.column_names.index("round")
    earlier = table.set_column(number, table.field("round"), pa.array(np.ones(table.num_rows), pa.int32()))
    with pytest.raises(RecordsError, match="round 1 comes after round 2"):
        list(rounds_of([table, earlier.slice(0, 15)], 5, "here"))


def test_a_client_without_an_update_is_said(write_run, small):
    path = write_run(small)
    file = path / "tables" / "clients.parquet"
    table = pq.read_table(file)
    pq.write_table(table.filter(pa.compute.not_equal(table["client"], 1)), file)
    with pytest.raises(RecordsError, match="table chunks: client 1 in round 1 has no update that counted"):
        _ = load_run(path).chunk_study
