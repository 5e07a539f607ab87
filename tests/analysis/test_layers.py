import pytest

from fedchunk.analysis.layers import LayerMark, layer_marks


def test_layers_with_shared_border_chunks():
    parameters = [["0.weight"], ["0.weight", "0.bias", "2.weight"], ["2.weight", "2.bias"]]
    assert layer_marks(parameters) == (LayerMark("0", 0, 2), LayerMark("2", 1, 3))


def test_one_chunk_holds_every_layer():
    assert layer_marks([["a.weight", "b.weight"]]) == (LayerMark("a", 0, 1), LayerMark("b", 0, 1))


def test_a_parameter_outside_any_layer_is_its_own():
    assert [mark.name for mark in layer_marks([["token", "encoder.pos", "encoder.0.weight"]])] == [
        "token", "encoder", "encoder.0",
    ]  # fmt: skip


def test_deep_models_are_marked_by_blocks_that_can_be_read():
    names = ["conv1.weight"] + [f"layer{i}.{j}.conv{k}.weight" for i in range(4) for j in range(6) for k in range(3)]
    parameters = [[name] for name in names]
    assert [mark.name for mark in layer_marks(parameters, limit=6)] == ["conv1", "layer0", "layer1", "layer2", "layer3"]
    assert len(layer_marks(parameters, limit=30)) == 25
    assert len(layer_marks(parameters, limit=100)) == 73
    assert layer_marks(parameters, limit=6)[-1] == LayerMark("layer3", 55, 73)


@pytest.mark.parametrize("limit", [1, 3])
def test_more_top_level_layers_than_the_limit_are_kept(limit):
    marks = layer_marks([[f"{i}.weight"] for i in range(5)], limit)
    assert [mark.name for mark in marks] == ["0", "1", "2", "3", "4"]


def test_no_chunks_no_marks():
    assert layer_marks([]) == ()
