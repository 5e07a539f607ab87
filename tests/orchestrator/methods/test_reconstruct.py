"""A model that came as a message: wherever its values lie in the bytes, others than numpy can work on it."""

import numpy as np
import pytest

from fedchunk.orchestrator.chunking.encoding import decode, encode
from fedchunk.orchestrator.chunking.header import Expected, Origin
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.methods.method import reconstruct


@pytest.mark.parametrize("place", range(4))
def test_a_whole_model_lies_at_a_multiple_of_four_bytes(place):
    layout, model_P = Layout(12, 4), np.arange(12, dtype=np.float32)
    nothing = np.empty(0, np.float32), np.empty(0, np.int64)
    sent = encode(layout, model_P, np.ones(4, bool), round_index=1, sender=0, num_samples=1, buffers=nothing)
    memory = np.empty(place + len(sent.payload), np.uint8)
    memory[place:] = sent.payload
    message = decode(memory[place:], layout, Expected(Origin(1, 0, 1), stands=False), 0, 0)

    model = reconstruct(None, message, layout)

    assert model.weights_P.flags.aligned
    assert model.weights_P.tolist() == model_P.tolist()
