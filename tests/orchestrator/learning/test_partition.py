from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import ConfigError
from fedchunk.orchestrator.learning.partition import partition as partition_of
from fedchunk.orchestrator.settings.joined import Sections
from fedchunk.orchestrator.settings.sections import DataSettings, FederationSettings

SHARES = ["10", "20", "30", "40", "50", "60", "70", "80", "90"]
KINDS = ["iid", "iid-diff-quantity", "dir", *SHARES]


def labels_of(num_samples: int, num_classes: int, seed: int = 0) -> NDArray[np.int64]:
    return np.random.default_rng(seed).permutation(np.arange(num_samples, dtype=np.int64) % num_classes)


def settings(kind: str, beta: float = 0.5) -> DataSettings:
    return DataSettings(data_distribution_kind=kind, dirichlet_beta=beta)


def partition(
    labels_S: NDArray[np.int64], num_classes: int, data: DataSettings, num_clients: int, seed: int
) -> tuple[NDArray[np.int64], ...]:
    federation = FederationSettings(number_of_clients=num_clients, random_seed=seed)
    return partition_of(labels_S, None, num_classes, Sections(data=data, federation=federation))


def fault_of(*arguments: Any) -> tuple[str, str]:
    with pytest.raises(ConfigError) as caught:
        partition(*arguments)
    (fault,) = caught.value.faults
    return fault.key, fault.message


@given(
    kind=st.sampled_from(KINDS),
    num_samples=st.integers(1, 400),
    num_classes=st.integers(2, 12),
    num_clients=st.integers(1, 40),
    beta=st.floats(1e-3, 1e3),
    seed=st.integers(0, 2**63 - 1),
)
def test_every_sample_has_one_owner_and_every_owner_a_sample_or_it_is_a_fault(
    kind: str, num_samples: int, num_classes: int, num_clients: int, beta: float, seed: int
) -> None:
    labels_S = labels_of(num_samples, num_classes, seed)
    arguments = (labels_S, num_classes, settings(kind, beta), num_clients, seed)
    try:
        parts = partition(*arguments)
    except ConfigError as refused:
        (fault,) = refused.faults
        assert fault.key in ("number_of_clients", "data_distribution_kind")
        return
    assert len(parts) == num_clients
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(num_samples))
    assert all(len(part) > 0 and (np.diff(part) > 0).all() and part.dtype == np.int64 for part in parts)
    for part, again in zip(parts, partition(*arguments), strict=True):
        np.testing.assert_array_equal(part, again)


@pytest.mark.parametrize("kind", KINDS)
def test_a_usual_federation_is_never_refused_and_follows_the_seed(kind: str) -> None:
    labels_S = labels_of(1437, 10)
    parts, others = (partition(labels_S, 10, settings(kind, beta=0.1), 20, seed) for seed in (42, 43))
    assert not all(np.array_equal(a, b) for a, b in zip(parts, others, strict=True))


@given(num_samples=st.integers(40, 400), num_clients=st.integers(1, 40), seed=st.integers(0, 1000))
def test_iid_parts_differ_by_at_most_one_sample(num_samples: int, num_clients: int, seed: int) -> None:
    parts = partition(labels_of(num_samples, 5), 5, settings("iid"), num_clients, seed)
    assert np.ptp([len(part) for part in parts]) <= 1


@given(kind=st.sampled_from(SHARES), num_clients=st.integers(10, 40), seed=st.integers(0, 1000))
def test_each_client_holds_its_share_of_the_labels_and_each_label_is_held(
    kind: str, num_clients: int, seed: int
) -> None:
    labels_S = labels_of(1000, 10)
    parts = partition(labels_S, 10, settings(kind), num_clients, seed)
    held = [set(labels_S[part].tolist()) for part in parts]
    assert {len(labels) for labels in held} == {int(kind) // 10}
    holders = np.bincount([label for labels in held for label in labels], minlength=10)
    assert holders.min() >= 1
    assert np.ptp(holders) <= 1


@pytest.mark.parametrize(
    ("kind", "num_classes", "labels_each"), [("10", 2, 1), ("20", 7, 1), ("30", 100, 30), ("50", 7, 4), ("90", 4, 4)]
)
def test_shares_of_other_numbers_of_labels_are_rounded(kind: str, num_classes: int, labels_each: int) -> None:
    labels_S = labels_of(4000, num_classes)
    for part in partition(labels_S, num_classes, settings(kind), 10, seed=1):
        assert len(np.unique(labels_S[part])) == labels_each


def test_a_label_is_divided_evenly_among_its_holders() -> None:
    labels_S = labels_of(1000, 10)
    parts = partition(labels_S, 10, settings("20"), 15, seed=5)
    for label in range(10):
        counts = [int((labels_S[part] == label).sum()) for part in parts]
        assert np.ptp([count for count in counts if count]) <= 1


def test_label_pairs_are_mixed_and_not_blocks() -> None:
    labels_S = labels_of(2000, 10)
    pairs = {tuple(np.unique(labels_S[part])) for part in partition(labels_S, 10, settings("20"), 50, seed=0)}
    assert len(pairs) > 15  # dealing one shuffled deck would give 5


def test_a_low_beta_gives_few_labels_and_a_high_one_all() -> None:
    labels_S = labels_of(20_000, 10)

    def largest_share(beta: float) -> float:
        parts = partition(labels_S, 10, settings("dir", beta), 50, seed=2)
        return float(np.mean([np.bincount(labels_S[part], minlength=10).max() / len(part) for part in parts]))

    assert largest_share(0.05) > 0.75
    assert 0.2 < largest_share(1.0) < 0.6
    assert largest_share(1000.0) < 0.13


def test_unequal_sizes_are_unequal_and_random_in_labels() -> None:
    labels_S = labels_of(20_000, 10)
    parts = partition(labels_S, 10, settings("iid-diff-quantity", beta=0.5), 20, seed=2)
    sizes = np.array([len(part) for part in parts])
    assert sizes.max() > 10 * sizes.min()
    shares = np.bincount(labels_S[parts[int(sizes.argmax())]], minlength=10) / sizes.max()
    np.testing.assert_allclose(shares, 0.1, atol=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_more_clients_than_samples_is_a_fault_with_the_limit(kind: str) -> None:
    key, message = fault_of(labels_of(30, 3), 3, settings(kind), 31, 0)
    assert key == "number_of_clients"
    assert "got 31" in message
    assert "1 to 30" in message


def test_a_label_without_a_holder_is_a_fault_with_the_limit() -> None:
    key, message = fault_of(labels_of(100, 10), 10, settings("20"), 4, 0)
    assert key == "number_of_clients"
    assert "allowed are 5 or more" in message
    partition(labels_of(100, 10), 10, settings("20"), 5, 0)


def test_a_holder_of_a_rare_label_without_samples_is_named() -> None:
    labels_S = np.array([0] * 2 + [1] * 98, dtype=np.int64)
    key, message = fault_of(labels_S, 2, settings("50"), 40, 0)
    assert key == "data_distribution_kind"
    assert "of 40 without a sample" in message
    assert "clients " in message


def test_a_beta_that_leaves_somebody_empty_is_a_fault_that_says_so() -> None:
    key, message = fault_of(labels_of(60, 10), 10, settings("dir", beta=0.01), 60, 0)
    assert key == "data_distribution_kind"
    assert "dirichlet_beta 0.01" in message
    assert "fewer clients or a higher dirichlet_beta" in message


@pytest.mark.parametrize("beta", [5e-324, 1e-300, 1e308])
@pytest.mark.parametrize("kind", ["dir", "iid-diff-quantity"])
def test_extreme_betas_still_divide_everything(kind: str, beta: float) -> None:
    parts = partition(labels_of(500, 5), 5, settings(kind, beta), 3, seed=1)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(500))
