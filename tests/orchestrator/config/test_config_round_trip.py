import math
import pickle
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fedchunk.orchestrator.registry import KINDS, builtin_signature
from fedchunk.orchestrator.settings.loading import parse, to_yaml
from fedchunk.orchestrator.settings.option_checks import fits
from fedchunk.orchestrator.settings.running import TrackingSettings
from fedchunk.orchestrator.settings.schema import choices, component_of, field_schemas, kinds, sections
from fedchunk.orchestrator.settings.sections import ChunkingSettings, FederationSettings
from fedchunk.orchestrator.settings.whole import Settings

ODD_TEXTS = ("yes", "null", "1e-3", "0x1F", "a: b", "# c", "x\n", "- a", "*a", "!t", "{", "é\u2028", "\x85", "🙂", "")


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(TEXTS, parts, max_size=4),
    max_leaves=8,
)
"""What an option may be: anything that YAML has."""
MINE = """\
def scores(gradient_C, **options):
    return gradient_C


class Net:
    def __init__(self, input_shape, width=8, heads=()):
        pass


def brier(outputs, targets):
    return 0.0, 1.0
"""


def numbers_of(schema):
    least = schema.get("minimum", max(sys.float_info.min, math.nextafter(schema.get("exclusiveMinimum", 0), math.inf)))
    most = schema.get("maximum", schema.get("exclusiveMaximum", sys.float_info.max))
    return st.floats(least, most, exclude_max="exclusiveMaximum" in schema)


def items_of(schema):
    if schema.get("type") == "string":
        return st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=schema.get("maxLength", 300))
    return numbers_of(schema)


def values_of(key):
    schema, kind = field_schemas()[key], component_of(key)
    if kind and kind.many:
        values = st.lists(st.sampled_from(choices(key)), max_size=3).map(tuple)
    elif choices(key):
        values = st.sampled_from(choices(key))
        if "array" in kinds(key):
            values |= st.lists(numbers_of(schema["items"]), max_size=5).map(tuple)
        if "number" in kinds(key):
            values |= numbers_of(schema)
    elif "in_words" in schema:  # initial_model: a word or a file
        values = st.sampled_from(["broadcast", "seed", "my first model.safetensors"])
    elif "boolean" in kinds(key):
        values = st.booleans()
    elif "string" in kinds(key):
        values = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=schema.get("maxLength", 300))
    elif "integer" in kinds(key):
        values = st.integers(schema["minimum"], schema.get("maximum", 2**63 - 1))
    elif "array" in kinds(key):
        values = st.lists(items_of(schema["items"]), max_size=5).map(tuple)
    else:
        values = numbers_of(schema)
    return values | st.none() if "null" in kinds(key) else values


ANY_VALUES = st.fixed_dictionaries({}, optional={k: values_of(k) for k in field_schemas() if "object" not in kinds(k)})


def options_of(kind, name):
    """Some of the options that a built-in component has."""
    signature = builtin_signature(kind, name)
    own = [option for option in signature.names if option not in kind.on_offer]
    values = {option: option_for(signature.types[option]) for option in own}
    needed = {option: values.pop(option) for option in own if option in signature.required}
    return st.fixed_dictionaries(needed, optional=values)


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
COUNTS = st.integers(1, 300)
NO_NUMBERS = {
    "str": WORDS, "Columns": st.lists(WORDS, min_size=1, max_size=3), "Channels": st.sampled_from([1, 3]),
    "ImageShape": st.lists(COUNTS, min_size=3, max_size=3), "SampleShape": st.lists(COUNTS, min_size=1, max_size=3),
    "WhenFewer": st.sampled_from(["refuse", "largest", "random", "merged"]),
    "Norm": st.sampled_from(["batch", "group"]), "Positions": st.sampled_from(["learned", "rotary"]),
}  # fmt: skip


def option_for(type_name):
    base = type_name.removesuffix(" | None")
    values = NO_NUMBERS[base] if base in NO_NUMBERS else numbers_for(base)
    return values | st.none() if base != type_name else values


def numbers_for(type_name):
    words = st.sampled_from([True, False, "batch", "group", "learned", "rotary"])
    return st.one_of(st.integers(0, 9), st.floats(0, 1e9), words).filter(lambda value: fits(type_name, value))


@st.composite
def some_settings(draw):
    """Any values of any settings, without those that contradict each other."""
    values = draw(ANY_VALUES)
    while True:
        parts = {
            name: section(**{key: values[key] for key in section.model_fields.keys() & values.keys()})
            for name, section in sections().items()
        }
        try:
            settings = Settings(**parts)
        except ValidationError as error:
            for remark in error.errors()[0]["ctx"]["remarks"]:
                for key in remark.keys:
                    values.pop(key, None)
            continue
        for kind in KINDS.values():
            if kind.options_key:
                values[kind.options_key] = draw(options_of(kind, settings.name_of(kind)))
        return Settings(
            **{
                name: part.model_copy(update={k: values[k] for k in type(part).model_fields if "object" in kinds(k)})
                for name, part in parts.items()
            }
        )


@settings(deadline=None)
@given(some_settings())
def test_resolved_yaml_reads_back_to_equal_settings(original):
    text = to_yaml(original)
    assert parse(text, "config.yaml").settings == original
    assert to_yaml(parse(text, "config.yaml").settings) == text


def test_every_mapping_of_options_belongs_to_a_component():
    mappings = {key for key in field_schemas() if "object" in kinds(key)}
    assert mappings == {kind.options_key for kind in KINDS.values() if kind.options_key}


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """A folder with components of a user."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "mine.py").write_text(MINE, encoding="utf-8")
    return folder


@settings(deadline=None)
@given(st.dictionaries(TEXTS.filter(lambda name: name not in KINDS["score"].on_offer), PLAIN, max_size=5))
def test_options_of_any_shape_read_back(mine, options):
    plain = parse("chunk_score: ./mine.py:scores", str(mine / "f.yaml")).settings
    chunking = plain.chunking.model_copy(update={"chunk_score_options": options})
    original = Settings(chunking=chunking, components=plain.components)
    text = to_yaml(original)
    assert parse(text, str(mine / "config.yaml")).settings == original
    assert to_yaml(parse(text, str(mine / "config.yaml")).settings) == text


def test_components_of_users_read_back_and_survive_pickling(mine):
    text = """\
chunk_score: ./mine.py:scores
chunk_score_options: {strength: 2, "yes": [null, 1e-3, {"": x}]}
model_type: ./mine.py:Net
model_options: {width: 24, heads: [1, 2]}
metrics: [accuracy, ./mine.py:brier]
learning_rate_schedule: [0.1, 0.01]
server_optimizer: ADAM
server_optimizer_options: {beta_1: 0.5}
"""
    original = parse(text, str(mine / "f.yaml")).settings
    assert len(original.components.own) == 3
    assert original.chunking.chunk_score_options == {"strength": 2, "yes": [None, 0.001, {"": "x"}]}
    assert original.training.model_options == {"width": 24, "heads": [1, 2]}
    assert original.training.learning_rate_schedule == (0.1, 0.01)
    assert original.federation.server_optimizer == "adam"
    assert original.tracking.metrics == ("accuracy", "./mine.py:brier")
    again = parse(to_yaml(original), str(mine / "config.yaml")).settings
    assert again == original
    assert again.components == original.components
    assert pickle.loads(pickle.dumps(original)) == original


def test_resolved_yaml_holds_every_setting_and_a_comment_per_section():
    lines = to_yaml(Settings()).splitlines()
    assert [line.partition(":")[0] for line in lines if line and not line.startswith("#")] == list(Settings().flat())
    assert sum(line.startswith("#") for line in lines) == 1 + len(sections())


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_text_that_yaml_would_take_for_something_else_stays_text(text):
    original = Settings(federation=FederationSettings(federation_id=text))
    assert parse(to_yaml(original), "c").settings == original


def test_settings_survive_pickling_and_cannot_be_changed():
    original = Settings(
        chunking=ChunkingSettings(chunking=True, chunking_parts=7), tracking=TrackingSettings(mlflow_enabled=False)
    )
    assert pickle.loads(pickle.dumps(original)) == original
    with pytest.raises(ValidationError, match="frozen"):
        original.chunking.chunking_parts = 8
