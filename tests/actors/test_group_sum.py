"""What a group sends is added: written and opened, or only counted where it was made, with the same sums and bytes."""

import numpy as np
import pytest

from fedchunk.actors.client.experiment_data import prepare
from fedchunk.actors.client.worker import LocalWorker
from fedchunk.actors.payloads.group_sum import GroupSum
from fedchunk.orchestrator.chunking.codecs import BUILT_IN
from fedchunk.orchestrator.contract.messages import ClientState, ModelState
from fedchunk.orchestrator.methods.outgoing import emit

ROUND = 3
CLIENTS = (0, 2, 3)
NEWCOMERS = (2,)


@pytest.fixture
def worker(make_settings):
    def make(**flat):
        settings = (
            make_settings(chunk_encoding="float32", **flat) if "chunk_encoding" not in flat else make_settings(**flat)
        )
        return LocalWorker(settings, "cpu", prepare(settings))

    return make


def outgoing(worker, seed=0, scale=1.0, last=1.0):
    """What three clients send after random changes; ``last`` is the last one's first value."""
    rng, layout, sent = np.random.default_rng(seed), worker.method.layout, []
    for client in CLIENTS:
        vector_P = (rng.standard_normal(layout.num_parameters) * scale).astype(np.float32)
        mask_C = rng.random(layout.num_chunks) < 0.3
        if client == CLIENTS[-1]:
            vector_P[0], mask_C[0] = last, True
        residual_P = vector_P if worker.method.rule.keeps_residual else None
        model = ModelState(vector_P, np.empty(0, np.float32), np.empty(0, np.int64))
        pending = ClientState(model, np.zeros(layout.num_chunks, np.int32), residual_P)
        whose = ROUND, client, worker.num_samples(client)
        sent.append((client, emit(worker.method, *whose, pending, mask_C, stands=client not in NEWCOMERS)))
    return sent


def added(worker, sent, most_a_unit=None):
    total = GroupSum(worker.method.layout, worker.spec, worker.verifier, worker.weight)
    total.add(ROUND, sent, most_a_unit=most_a_unit, newcomers=NEWCOMERS)
    return total


def written(sent):
    return [(client, one.encoded().payload) for client, one in sent]


FEEDBACK = {"chunk_reconstruction": "error_feedback", "chunk_score": "accumulated", "sensitivity_percentage": 100.0}


FOR_VALUES = ("float32", "float16", "bfloat16", "int8", "int4")
"""The other encodings are refused where values are sent."""
WAYS = [(name, FEEDBACK) for name in BUILT_IN] + [(name, {}) for name in FOR_VALUES]


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize(("encoding", "rules"), WAYS, ids=[f"{name}{'-changes' * bool(rules)}" for name, rules in WAYS])
def test_counted_and_opened_give_the_same_sums_bytes_and_largest_values(worker, encoding, compression, rules):
    one = worker(chunk_encoding=encoding, chunk_compression=compression, **{"sensitivity_percentage": 100.0, **rules})
    sent = outgoing(one)
    counted, opened = added(one, sent), added(one, written(sent))

    assert counted.rejected == opened.rejected == {}
    assert counted.largest == opened.largest
    for client in CLIENTS:
        sizes = [{kind: size for kind, size in total.sizes[client].items() if size} for total in (counted, opened)]
        assert sizes[0] == sizes[1]
        assert sum(sizes[0].values()) == len(dict(written(sent))[client])
    for found, expected in zip(vars(counted.partial()).values(), vars(opened.partial()).values(), strict=True):
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("last", "most", "reason"),
    [(np.nan, None, "not finite"), (np.inf, None, "not finite"), (-np.inf, None, "not finite"),
     (2e6, None, "max_update_value"), (-5.0, 1e-3, "max_update_ratio")],
)  # fmt: skip
def test_what_must_not_count_is_left_out_either_way_with_the_same_words_and_billed(worker, last, most, reason):
    one = worker(sensitivity_percentage=100.0)
    sent = outgoing(one, scale=1e-9, last=last)
    counted, opened = added(one, sent, most), added(one, written(sent), most)
    assert counted.rejected == opened.rejected
    assert list(counted.rejected) == [CLIENTS[-1]]
    assert reason in counted.rejected[CLIENTS[-1]]
    assert counted.sizes[CLIENTS[-1]] == opened.sizes[CLIENTS[-1]] == {"rejected": len(written(sent)[-1][1])}
    assert np.array_equal(counted.partial().sums_P, opened.partial().sums_P)
