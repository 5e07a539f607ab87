import pickle
import sys

import pytest
from fedchunk.orchestrator.settings.loading import parse, to_yaml
from fedchunk.orchestrator.settings.schema import choices, field_schemas, kinds, sections
from fedchunk.orchestrator.settings.sections import ChunkingSettings, FederationSettings, Settings, TrackingSettings
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

ODD_TEXTS = ("yes", "null", "1e-3", "0x1F", "a: b", "# c", "x\n", "- a", "*a", "!t", "{", "é\u2028", "\x85", "🙂", "")


def numbers_of(schema):
    least = schema.get("minimum", sys.float_info.min)
    most = schema.get("maximum", schema.get("exclusiveMaximum", sys.float_info.max))
    return st.floats(least, most, exclude_max="exclusiveMaximum" in schema)


def values_of(key):
    schema = field_schemas()[key]
    if choices(key):
        values = st.sampled_from(choices(key))
    elif "boolean" in kinds(key):
        values = st.booleans()
    elif "string" in kinds(key):
        values = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=schema.get("maxLength", 300))
    elif "integer" in kinds(key):
        values = st.integers(schema["minimum"], schema.get("maximum", 2**63 - 1))
    elif "array" in kinds(key):
        values = st.lists(numbers_of(schema["items"]), max_size=5).map(tuple)
    else:
        values = numbers_of(schema)
    return values | st.none() if "null" in kinds(key) else values


ANY_VALUES = st.fixed_dictionaries({}, optional={key: values_of(key) for key in field_schemas()})


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
            return Settings(**parts)
        except ValidationError as error:
            for remark in error.errors()[0]["ctx"]["remarks"]:
                for key in remark.keys:
                    values.pop(key, None)


@settings(deadline=None)
@given(some_settings())
def test_resolved_yaml_reads_back_to_equal_settings(original):
    text = to_yaml(original)
    assert parse(text, "config.yaml").settings == original
    assert to_yaml(parse(text, "config.yaml").settings) == text


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
