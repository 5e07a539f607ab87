import re
from pathlib import Path

import pytest

from fedchunk.orchestrator.core.records import SCHEMA_VERSION, SCHEMAS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "tables.md").read_text(encoding="utf-8")


def documented():
    """Table -> rows of (column, type, unit, null, meaning)."""
    sections = re.split(r"^## ", DOCUMENT, flags=re.MULTILINE)[1:]
    return {
        section.split("\n", 1)[0].strip(): [
            tuple(cell.strip() for cell in line.strip("|\n").split("|"))
            for line in section.splitlines()
            if line.startswith("| `")
        ]
        for section in sections
    }


def test_every_table_is_documented_and_no_other():
    assert list(documented()) == list(SCHEMAS)
    assert f"Schema version: {SCHEMA_VERSION}." in DOCUMENT


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_column_is_documented_as_the_schema_says(name):
    expected = []
    for field in SCHEMAS[name]:
        kind = "list of string" if field.name == "parameters" else str(field.type)
        unit, null, doc = (field.metadata[key].decode() for key in (b"unit", b"null", b"doc"))
        expected.append((f"`{field.name}`", kind, unit or "-", null, doc))
    assert documented()[name] == expected
