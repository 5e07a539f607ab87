"""Values of options: refused by `validate`, with the place, before anything is imported or begun."""

import sys

import pytest

from fedchunk.orchestrator.core.errors import ConfigError
from fedchunk.orchestrator.registry import KINDS, builtin_names, builtin_signature, constants
from fedchunk.orchestrator.settings.loading import parse
from fedchunk.orchestrator.settings.option_checks import fits


def text(key, name, options):
    return f"{key}: {name}\n{KIND_BY_KEY[key].options_key}: {{{options}}}\n"


KIND_BY_KEY = {kind.key: kind for kind in KINDS.values()}

OUT_OF_RANGE = [
    *(
        ("learning_rate_schedule", name, "final", got, "a number from 0 to 1")
        for name in ("linear", "cosine")
        for got in ("-0.1", "1.5", "true", "'0.5'", "null")
    ),
    ("learning_rate_schedule", "step", "factor", "0", "a number above 0 and at most 1"),
    ("server_learning_rate_schedule", "step", "factor", "1.5", "a number above 0 and at most 1"),
    ("learning_rate_schedule", "step", "every", "0", "a whole number of at least 1"),
    ("learning_rate_schedule", "step", "every", "2.5", "a whole number of at least 1"),
    *(("aggregation_strategy", "trimmed_mean", "beta", got, "at least 0 and below 0.5") for got in ("-0.1", "0.5")),
    *(
        ("aggregation_strategy", name, "num_malicious", got, "a whole number of at least 0")
        for name in ("krum", "multi_krum")
        for got in ("-1", "0.5")
    ),
    ("aggregation_strategy", "multi_krum", "to_keep", "0", "a whole number of at least 1"),
    *(
        ("server_optimizer", name, "server_momentum", got, "at least 0 and below 1")
        for name in ("momentum", "nesterov")
        for got in ("-0.1", "1")
    ),
    *(
        ("server_optimizer", name, beta, "1.5", "at least 0 and below 1")
        for name in ("adam", "yogi")
        for beta in ("beta_1", "beta_2")
    ),
    *(
        ("server_optimizer", name, "tau", got, "a number from ")
        for name in ("adam", "adagrad", "yogi")
        for got in ("0", "-1", "1e-50")
    ),
    ("loss_function", "SmoothCrossEntropy", "smoothing", "1.5", "a number from 0 to 1"),
    ("model_type", "mlp", "width", "0", "a whole number of at least 1"),
    ("model_type", "mlp", "width", "[3]", "a whole number of at least 1"),
    ("model_type", "resnet18", "norm", "'layer'", "batch or group"),
    ("model_type", "resnet50", "small_input", "1", "true or false"),
    ("model_type", "resnet20", "groups", "0", "a whole number of at least 1"),
    ("model_type", "transformer", "positions", "'sinusoidal'", "learned or rotary"),
    ("model_type", "transformer", "context", "-1", "a whole number of at least 0"),
    ("model_type", "lstm", "dropout", "1.1", "a number from 0 to 1"),
    ("model_type", "vgg16", "dropout", "1.1", "a number from 0 to 1"),
    ("dataset_type", "synthetic", "noise", "-1", "a number of at least 0"),
    ("dataset_type", "imagefolder", "channels", "2", "1 or 3, or null"),
    ("dataset_type", "imagefolder", "size", "0", "a whole number of at least 1, or null"),
    ("dataset_type", "imagefolder", "test_share", "1", "a number above 0 and below 1, or null"),
    ("dataset_type", "leaf", "shape", "[]", "a list: a whole number of at least 1 each, or null"),
    ("data_distribution_kind", "natural", "fewer", "'all'", "refuse, largest, random or merged"),
]


def needed_by(key, name):
    """What suits it: models that answer for each token are of another task."""
    return "task: language_model\n" if constants(KIND_BY_KEY[key], name).get("PER_TOKEN") else ""


@pytest.mark.parametrize(("key", "name", "option", "got", "allowed"), OUT_OF_RANGE)
def test_a_value_out_of_range_is_named_with_its_place_and_what_is_allowed(key, name, option, got, allowed):
    loaded = [module for module in ("torch", "torchvision") if module in sys.modules]

    with pytest.raises(ConfigError) as caught:
        parse(text(key, name, f"{option}: {got}") + needed_by(key, name), "f.yaml")

    (fault,) = caught.value.faults
    assert fault.where == "f.yaml:2:1"
    assert fault.message.startswith(f"{option}: got {got}; allowed: ")
    assert allowed in fault.message
    assert [module for module in ("torch", "torchvision") if module in sys.modules] == loaded


@pytest.mark.parametrize(
    ("key", "name", "options"),
    [
        ("learning_rate_schedule", "cosine", "final: 1"),
        ("learning_rate_schedule", "step", "every: 1, factor: 1.0"),
        ("aggregation_strategy", "trimmed_mean", "beta: 0"),
        ("server_optimizer", "adam", "beta_1: 0, beta_2: 0.999, tau: 1.0e-30"),
        ("model_type", "mlp", "width: 1, depth: 0"),
    ],
)
def test_the_ends_of_a_range_that_belong_to_it_are_allowed(key, name, options):
    assert parse(text(key, name, options), "f.yaml").settings


def test_a_user_s_options_are_held_to_the_plain_types_that_were_written(tmp_path):
    (tmp_path / "mine.py").write_text(
        "def signed(change_C, power: float = 1.0, parts: 'list[int] | None' = None, rule=None, on: bool = True):\n"
        "    return change_C\n"
    )
    file = str(tmp_path / "f.yaml")
    settings = "chunking: true\nchunk_score: ./mine.py:signed\nchunk_score_options: {}\n"

    for options in ("power: 2", "power: 0.5, on: false", "parts: what, rule: [1]"):
        assert parse(settings.replace("{}", f"{{{options}}}"), file).settings
    with pytest.raises(ConfigError) as caught:
        parse(settings.replace("{}", "{power: high, on: 1}"), file)

    assert [fault.message for fault in caught.value.faults] == [
        "power: got 'high'; allowed: a number",
        "on: got 1; allowed: true or false",
    ]


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in KINDS.values() for name in builtin_names(kind) if kind.options_key]
)
def test_every_option_of_a_built_in_has_a_type_that_is_checked(kind, name):
    signature = builtin_signature(kind, name)
    own = [option for option in signature.names if option not in kind.on_offer]

    assert not [option for option in own if fits(signature.types[option], object())]
