"""The encodings of papers, against their formulas written out slowly, and against the bounds that the papers give."""

import math
from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from fedchunk.orchestrator.chunking.codecs import BUILT_IN
from fedchunk.orchestrator.chunking.codecs.drive import Drive, hadamard, random_signs
from fedchunk.orchestrator.chunking.codecs.qsgd import Qsgd
from fedchunk.orchestrator.chunking.codecs.top_k import TopK
from fedchunk.orchestrator.chunking.encoding import Packing, decode, encode
from fedchunk.orchestrator.chunking.header import Expected, Origin
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.scoring import norms, per_value
from fedchunk.orchestrator.chunking.selection import best

SCALE = 2**-8
"""A scale's own rounding, generously."""
NUMBERS = st.floats(-1000, 1000, width=32).filter(lambda number: number == 0 or abs(number) > 1e-20)


@st.composite
def chunked(draw):
    sizes_K = np.array(draw(st.lists(st.integers(1, 70), min_size=1, max_size=5)), np.int64)
    return draw(hnp.arrays(np.float32, int(sizes_K.sum()), elements=NUMBERS)), sizes_K


def passed(codec, values_V, sizes_K):
    """Each chunk as it was, in float64, and as it is seen."""
    seen_V = codec.unpack(*codec.pack(values_V, sizes_K), sizes_K)
    borders = np.cumsum([0, *sizes_K])
    return [(values_V[a:b].astype(np.float64), seen_V[a:b].astype(np.float64)) for a, b in pairwise(borders)]


def energy(values):
    return math.fsum(value * value for value in values)


def hadamard_matrix(width):
    signs = [[(-1) ** (i & j).bit_count() for j in range(width)] for i in range(width)]
    return np.array(signs) / math.sqrt(width)


def slow_ternary(chunk):
    threshold = 0.7 * math.fsum(map(abs, chunk)) / len(chunk)
    above = [abs(value) for value in chunk if abs(value) > threshold]
    size = math.fsum(above) / len(above) if above else 0
    return [math.copysign(size, value) if abs(value) > threshold else 0 for value in chunk]


def slow_int2(chunk):
    largest = max(map(abs, chunk))
    return [round(value / largest) * largest if largest else 0 for value in chunk]


def slow_sign(chunk):
    size = math.fsum(map(abs, chunk)) / len(chunk)
    return [size if value >= 0 else -size for value in chunk]


def slow_top_k(chunk, share=0.125):
    count = min(len(chunk), max(1, round(share * len(chunk))))
    kept = sorted(range(len(chunk)), key=lambda place: (-abs(chunk[place]), place))[:count]
    mean = math.fsum(abs(chunk[place]) for place in kept) / count
    level = {place: 2 if abs(chunk[place]) > mean else 1 for place in kept}
    size = math.fsum(abs(chunk[p]) * level[p] for p in kept) / sum(level[p] ** 2 for p in kept)
    return [math.copysign(level[p] * size, chunk[p]) if p in level else 0 for p in range(len(chunk))]


@pytest.mark.parametrize(
    ("name", "slow"),
    [("ternary", slow_ternary), ("int2", slow_int2), ("sign", slow_sign), ("topk_in_chunk", slow_top_k)],
)
@pytest.mark.parametrize("sizes", [[64] * 5, [1, 2, 3, 100], [17, 16, 17], [1] * 9])
def test_values_are_those_of_the_formula(name, slow, sizes):
    values_V = np.random.default_rng(len(sizes)).standard_t(4, sum(sizes)).astype(np.float32)
    for chunk, seen in passed(BUILT_IN[name], values_V, np.array(sizes)):
        np.testing.assert_allclose(seen, slow(chunk.tolist()), rtol=SCALE)


@given(chunked())
def test_ternary_sizes_are_the_best_for_the_values_it_chooses(chunks):
    """Li et al. 2016: what is lost is the energy less that of what is seen, however they are chosen."""
    for chunk, seen in passed(BUILT_IN["ternary"], *chunks):
        ideal = energy(chunk) - energy(slow_ternary(chunk.tolist()))
        assert energy(chunk - seen) == pytest.approx(ideal, abs=SCALE**2 * energy(chunk) + 1e-30)
        assert {*np.abs(seen)} <= {0, *np.abs(seen)[seen != 0][:1]}


def test_ternary_and_int2_differ_in_what_they_are_good_at():
    """int2 keeps what is above half of the largest value, ternary what is above 0.7 of the mean size."""
    normal_V = np.random.default_rng(0).normal(size=640).astype(np.float32)
    outlier_V = np.full(64, 0.05, np.float32)
    outlier_V[3] = 1
    lost = {
        name: [
            sum(
                energy(chunk - seen)
                for chunk, seen in passed(BUILT_IN[name], values_V, np.full(len(values_V) // 64, 64))
            )
            for values_V in (normal_V, outlier_V)
        ]
        for name in ("ternary", "int2")
    }
    assert lost["ternary"][0] < 0.5 * lost["int2"][0]
    assert lost["int2"][1] < 0.5 * lost["ternary"][1]


@given(chunked())
def test_sign_keeps_the_share_of_the_energy_that_the_paper_says(chunks):
    """Karimireddy et al. 2019: |v - C(v)|^2 = (1 - |v|_1^2 / (d |v|_2^2)) |v|_2^2."""
    for chunk, seen in passed(BUILT_IN["sign"], *chunks):
        kept = math.fsum(map(abs, chunk)) ** 2 / len(chunk)
        assert energy(chunk - seen) == pytest.approx(energy(chunk) - kept, abs=SCALE**2 * energy(chunk) + 1e-30)


@given(chunked())
def test_stc_is_one_mean_size_with_signs(chunks):
    """Sattler et al. 2019, algorithm 1, of the values that were chosen: mu sign(v), mu = mean |v|."""
    values_V, sizes_K = chunks
    seen_V = np.concatenate([seen for _, seen in passed(BUILT_IN["stc"], values_V, sizes_K)])
    np.testing.assert_allclose(seen_V, slow_sign(values_V.tolist()), rtol=SCALE)
    assert BUILT_IN["stc"].scale_bytes(len(sizes_K)) == 2


def test_chunks_of_one_value_with_stc_are_sparse_ternary_compression():
    """Sattler et al. 2019, algorithm 1, on the whole vector: the k largest, as plus or minus their mean size."""
    vector_P, count = np.random.default_rng(5).standard_t(3, 500).astype(np.float32), 7
    layout = Layout(500, 500)
    mask_C = best(per_value(norms(vector_P, layout), layout), count)
    message = encode(
        layout, vector_P, mask_C, round_index=1, sender=0, num_samples=1, buffers=None, packing=Packing.built_in("stc")
    )
    decoded = decode(message.payload, layout, Expected(Origin(1, 0, 1), stands=False), 0, 0)
    received_P = np.zeros(500)
    received_P[decoded.mask_C] = decoded.values

    kept = sorted(range(500), key=lambda place: -abs(vector_P[place]))[:count]
    mu = math.fsum(abs(float(vector_P[place])) for place in kept) / count
    expected_P = [math.copysign(mu, vector_P[place]) if place in kept else 0 for place in range(500)]
    np.testing.assert_allclose(received_P, expected_P, rtol=SCALE)
    assert message.sizes["values"] + message.sizes["scales"] == 1 + 2


@pytest.mark.parametrize("share", [0.01, 0.125, 0.5, 1.0])
@given(chunks=chunked())
def test_what_top_k_loses_is_at_right_angles_to_what_it_keeps(share, chunks):
    codec = TopK(8, share)
    for chunk, seen in passed(codec, *chunks):
        slow = slow_top_k(chunk.tolist(), share)
        np.testing.assert_allclose(np.abs(seen), np.abs(slow), rtol=SCALE)
        assert energy(chunk - seen) == pytest.approx(energy(chunk) - energy(slow), abs=SCALE * energy(chunk) + 1e-30)
        assert energy(chunk - seen) <= energy(chunk)


def test_top_k_bytes_of_sparselocos_own_chunks():
    """64 of 4,096 values, 2 bits each; SparseLoCo's 12 bits for a position would be 768 of a chunk."""
    codec = TopK(8, 64 / 4096)
    assert codec.value_bytes(np.full(3, 4096)) == -(-3 * (511 + 128) // 8)


@pytest.mark.parametrize("width", [1, 2, 8, 64])
def test_the_rotation_is_that_of_the_matrix(width):
    matrix = hadamard_matrix(width)
    rows_ND = np.random.default_rng(width).normal(size=(5, width)).astype(np.float32)
    turned_ND = rows_ND.copy()
    hadamard(turned_ND)
    np.testing.assert_allclose(turned_ND, rows_ND @ matrix, atol=1e-5)
    hadamard(turned_ND)
    np.testing.assert_allclose(turned_ND, rows_ND, atol=1e-5)


@given(chunked())
def test_drive_is_the_formula_and_keeps_its_bound(chunks):
    """Vargaftik et al. 2021: R^-1(S sign(R v)), S = |R v|_1 / d, loses 1 - |R v|_1^2 / (d |v|_2^2) at most."""
    for chunk, seen in passed(BUILT_IN["drive"], *chunks):
        width = 1 << (len(chunk) - 1).bit_length()
        signs = random_signs(width).astype(np.float64)
        matrix = np.array([[(-1) ** (i & j).bit_count() for j in range(width)] for i in range(width)]) / math.sqrt(
            width
        )
        turned = matrix @ (signs * np.pad(chunk, (0, width - len(chunk))))
        kept = np.abs(turned).sum() ** 2 / width
        assert energy(chunk - seen) <= energy(chunk) - kept + 1e-4 * energy(chunk) + 1e-30
        if np.abs(turned).min() > 1e-3 * np.abs(turned).max():  # else float32 may see another sign
            expected = signs * (matrix @ (np.abs(turned).mean() * np.sign(turned)))
            np.testing.assert_allclose(seen, expected[: len(chunk)], atol=SCALE * np.abs(expected).max())


def test_drive_does_not_care_where_the_energy_is():
    """One large value among 64: the plain sign keeps 1 / 64 of its energy, a rotated one nearly all."""
    values_V = np.zeros(64, np.float32)
    values_V[5] = 3
    (chunk, seen), (_, plain) = (passed(BUILT_IN[name], values_V, np.array([64]))[0] for name in ("drive", "sign"))
    assert energy(chunk - seen) < 1e-3 * energy(chunk)
    assert energy(chunk - plain) == pytest.approx(63 / 64 * energy(chunk), rel=0.01)
    normal_V = np.random.default_rng(0).normal(size=64 * 200).astype(np.float32)
    lost = [energy(chunk - seen) / energy(chunk) for chunk, seen in passed(Drive(9), normal_V, np.full(200, 64))]
    assert np.mean(lost) == pytest.approx(1 - 2 / math.pi, abs=0.02)


def test_drive_bills_the_bits_that_fill_a_chunk_up():
    assert BUILT_IN["drive"].value_bytes(np.array([64, 64])) == 16
    assert BUILT_IN["drive"].value_bytes(np.array([65, 65])) == 32
    assert BUILT_IN["drive"].value_bytes(np.array([3, 1])) == 1


QSGDS = [Qsgd(10, levels, by_largest=False) for levels in (1, 7, 127)] + [Qsgd(10, 3), Qsgd(10)]


@pytest.mark.parametrize("codec", QSGDS, ids=str)
@given(chunks=chunked())
def test_qsgd_values_are_one_of_the_two_levels_beside_them(codec, chunks):
    for chunk, seen in passed(codec, *chunks):
        norm = np.abs(chunk).max() if codec.by_largest else math.sqrt(energy(chunk))
        assert (np.abs(chunk - seen) <= norm / codec.levels * (1 + SCALE) + SCALE * norm).all()
        assert (seen * chunk >= 0).all()


@pytest.mark.parametrize("codec", QSGDS, ids=str)
@pytest.mark.parametrize("size", [16, 64])
def test_qsgd_is_right_in_the_mean_and_its_variance_is_within_the_papers_bound(codec, size):
    """Alistarh et al. 2017, lemma 3.1: E = v and E|Q(v) - v|^2 <= min(d / s^2, sqrt(d) / s) |v|^2.

    Vectors that differ in their last bits only have draws of their own.
    """
    rng, number = np.random.default_rng(size), 4000
    one_V = rng.normal(size=size).astype(np.float32)
    many_V = (one_V * (1 + 1e-6 * rng.integers(1, 1000, (number, 1)))).astype(np.float32)
    many_V = np.unique(many_V, axis=0)[: number // 4]
    seen = np.stack([codec.unpack(*codec.pack(row, np.array([size])), np.array([size])) for row in many_V])
    norm = np.abs(one_V).max() if codec.by_largest else np.linalg.norm(one_V)
    spread = norm / codec.levels / 2 / math.sqrt(len(many_V))
    # Five deviations, and what the norm's rounding and the vectors' own differences shift.
    np.testing.assert_allclose(seen.mean(axis=0), one_V, atol=5 * spread + 3 * SCALE * norm)
    bound = min(size / codec.levels**2, math.sqrt(size) / codec.levels) * norm**2
    if codec.by_largest:
        bound = size / codec.levels**2 * norm**2 / 4
    assert np.square(seen - many_V).sum(axis=1).mean() <= bound * (1 + SCALE) + 4 * SCALE**2 * energy(one_V)


def test_qsgd_draws_depend_on_the_values_alone_and_on_each_bit_of_them():
    values_V = np.random.default_rng(3).normal(size=640).astype(np.float32)
    other_V = values_V.copy()
    other_V[7] = np.nextafter(other_V[7], np.float32(9))
    codec, sizes_K = BUILT_IN["qsgd"], np.full(10, 64)
    first, again = (codec.pack(values_V.copy(), sizes_K)[0].tobytes() for _ in range(2))
    assert first == again
    other = np.frombuffer(codec.pack(other_V, sizes_K)[0].tobytes(), np.uint8)
    assert (other != np.frombuffer(first, np.uint8)).mean() > 0.2
