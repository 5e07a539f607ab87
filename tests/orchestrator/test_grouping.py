"""Groups are shaped by the settings alone and calls hold whole groups: nothing is lost, doubled or reordered."""

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchunk.orchestrator.methods import grouping
from fedchunk.orchestrator.settings.sections import FederationSettings

COHORTS = st.sets(st.integers(0, 10_000), min_size=1, max_size=300).map(lambda clients: tuple(sorted(clients)))
SIZES = st.integers(1, 400)
PARAMETERS = st.integers(1, 10**8)


@given(COHORTS, st.none() | SIZES, PARAMETERS)
def test_groups_are_the_cohort_cut_into_even_runs(cohort, most, num_parameters):
    groups = grouping.groups(cohort, FederationSettings(clients_per_group=most), num_parameters)
    assert tuple(chain(*groups)) == cohort
    sizes = {len(group) for group in groups}
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 1
    assert max(sizes) <= (most or grouping.LARGEST_GROUP)


@given(COHORTS, SIZES, st.none() | SIZES, PARAMETERS, st.integers(1, 64))
def test_calls_hold_whole_groups_in_order(cohort, most, wanted, num_parameters, actors):
    groups = grouping.groups(cohort, FederationSettings(clients_per_group=most), num_parameters)
    calls = grouping.calls(groups, wanted, num_parameters, actors)
    assert tuple(chain(*calls)) == groups
    if wanted is not None:
        assert all(sum(map(len, call)) >= wanted for call in calls[:-1])
        assert all(sum(map(len, call[:-1])) < wanted for call in calls)


@pytest.mark.parametrize(
    ("cohort", "num_parameters", "sizes"),
    [
        (100, 55_210, {25}),  # 4 groups, so that 2 or 4 actors share them evenly
        (50, 1_626_442, {3, 4}),  # 16 groups
        (50, 11_000_000, {1}),
        (3, 7_850, {1}),
        (10, 7_850, {2, 3}),
        (1000, 55_210, {31, 32}),
    ],
)
def test_automatic_groups_are_small_where_models_are_large(cohort, num_parameters, sizes):
    groups = grouping.groups(range(cohort), FederationSettings(), num_parameters)
    assert {len(group) for group in groups} == sizes


def test_large_models_get_a_call_each_and_small_ones_share():
    large = grouping.groups(range(50), FederationSettings(), 1_626_442)
    small = grouping.groups(range(100), FederationSettings(), 55_210)
    assert len(grouping.calls(large, None, 1_626_442, 2)) == 16
    assert len(grouping.calls(small, None, 55_210, 2)) == 2
