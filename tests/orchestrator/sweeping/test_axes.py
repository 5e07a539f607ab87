import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchunk.orchestrator.core.errors import ConfigError
from fedchunk.orchestrator.sweeping.axes import Axes, axis_values, read_axes, read_sweep
from fedchunk.orchestrator.sweeping.trials import LONGEST_NAME, trial_name


def test_values_with_commas_ranges_and_lists_are_axes_and_one_value_is_for_all():
    axes, single = read_axes(
        ["sensitivity_percentage=5,10.5,20", "random_seed=1..3", "metrics=[top5]", "chunk_score=random", "k_value=3..1"]
    )

    assert dict(axes.axes) == {
        "sensitivity_percentage": (5, 10.5, 20),
        "random_seed": (1, 2, 3),
        "metrics": ("top5",),
        "k_value": (3, 2, 1),
    }
    assert single == ["chunk_score=random"]


def test_axes_that_depend_on_each_other_are_one_axis():
    together = [{"chunk_encoding": "int4", "learning_rate": 0.1}, {"chunk_encoding": "float32", "learning_rate": 0.2}]
    points = Axes({"random_seed": (1, 2)}, together).points()

    assert points == [
        {"random_seed": 1, "chunk_encoding": "int4", "learning_rate": 0.1},
        {"random_seed": 1, "chunk_encoding": "float32", "learning_rate": 0.2},
        {"random_seed": 2, "chunk_encoding": "int4", "learning_rate": 0.1},
        {"random_seed": 2, "chunk_encoding": "float32", "learning_rate": 0.2},
    ]


KEYS = st.text("abc_", min_size=1, max_size=5)
VALUES = st.lists(st.integers(), min_size=1, max_size=4)


@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4))
def test_every_combination_comes_once(axes):
    points = Axes({key: tuple(values) for key, values in axes.items()}).points()
    count = 1
    for values in axes.values():
        count *= len(values)
    assert len(points) == count
    assert all(point.keys() == axes.keys() for point in points)


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        (Axes(), "got no axes"),
        (Axes({"random_seed": ()}), "got 0 trials"),
        (Axes({"random_seed": range(200), "k_value": range(100)}), "got 20000 trials"),
        (Axes({"random_seed": (1,)}, [{"random_seed": 2}]), "stands in axes and in together"),
    ],
)
def test_what_is_no_sweep_is_refused(axes, words):
    with pytest.raises(ConfigError, match=words):
        axes.points()


def test_a_sweep_s_file_names_its_settings_and_a_settings_file_is_none(tmp_path):
    (tmp_path / "base.yaml").write_text("random_seed: 3\n")
    file = tmp_path / "sweep.yaml"
    file.write_text("base: base.yaml\naxes:\n  random_seed: 1..2\n  k_value: [2, 4]\ntogether:\n  - {chunking: true}\n")

    base, axes = read_sweep(file)

    assert base == tmp_path / "base.yaml"
    assert (dict(axes.axes), list(axes.together)) == ({"random_seed": (1, 2), "k_value": (2, 4)}, [{"chunking": True}])
    assert read_sweep(tmp_path / "base.yaml") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("axes: {random_seed: 1..2}", "base: is missing"),
        ("base: b.yaml\naxis: {random_seed: 1..2}", "no such key of a sweep; allowed: base, axes, together"),
        ("base: b.yaml\naxes: 5", "expected a mapping"),
        ("base: b.yaml\ntogether: [5]", "expected a list of mappings"),
    ],
)
def test_faults_of_a_sweep_s_file_have_places(text, words, tmp_path):
    (tmp_path / "sweep.yaml").write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        read_sweep(tmp_path / "sweep.yaml")
    assert "sweep.yaml:" in str(caught.value)


def test_names_say_what_differs_and_fit_into_a_file_system():
    long = {f"setting_number_{i}": "a/long value" * 5 for i in range(9)}
    other = {**long, "setting_number_8": "b"}

    assert (
        trial_name({"chunk_score": "./mine.py:signed", "random_seed": 1}) == "chunk_score-mine.py-signed_random_seed-1"
    )
    assert len(trial_name(long)) <= LONGEST_NAME
    assert trial_name(long) != trial_name(other)
    assert trial_name({"model_type": LongName}) == "model_type-LongName"


class LongName:
    pass


def test_one_value_is_no_axis():
    assert axis_values("x", "x") == ("x",)
