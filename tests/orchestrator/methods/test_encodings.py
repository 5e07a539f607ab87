"""What the settings say of encodings and scores becomes codecs; the documents have every one of them."""

import re
from pathlib import Path

import pytest

from fedchunk.orchestrator.chunking.codecs import BUILT_IN
from fedchunk.orchestrator.chunking.codecs.qsgd import Qsgd
from fedchunk.orchestrator.chunking.codecs.top_k import TopK
from fedchunk.orchestrator.components import Components
from fedchunk.orchestrator.core.errors import ConfigError
from fedchunk.orchestrator.registry import KINDS, builtin_names
from fedchunk.orchestrator.settings.loading import load

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("name", builtin_names(KINDS["encoding"]))
def test_an_encodings_file_gives_the_codec_of_its_name(name):
    assert Components().bind(KINDS["encoding"], name)() == BUILT_IN[name]


def test_every_codec_has_a_file():
    assert sorted(BUILT_IN) == sorted(builtin_names(KINDS["encoding"]))


@pytest.mark.parametrize(
    ("name", "options", "codec"),
    [
        ("topk_in_chunk", {"share": 0.5}, TopK(8, 0.5)),
        ("qsgd", {"levels": 15}, Qsgd(10, 15)),
        ("qsgd", {"by_largest": False}, Qsgd(10, 7, by_largest=False)),
    ],
)
def test_options_reach_the_codec(name, options, codec):
    assert Components().bind(KINDS["encoding"], name, options)() == codec


@pytest.mark.parametrize(
    ("name", "options", "allowed"),
    [
        ("topk_in_chunk", "{share: 0}", "above 0"),
        ("topk_in_chunk", "{share: 1.1}", "at most 1"),
        ("qsgd", "{levels: 0}", "from 1 to 127"),
        ("qsgd", "{levels: 128}", "from 1 to 127"),
        ("qsgd", "{by_largest: 1}", "true or false"),
        ("ternary", "{share: 0.5}", "it has none"),
    ],
)
def test_options_out_of_range_are_faults_of_the_settings(name, options, allowed, tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text(f"chunking: true\nchunk_encoding: {name}\nchunk_encoding_options: {options}\n")
    with pytest.raises(ConfigError, match=allowed):
        load(file)


@pytest.mark.parametrize(
    ("kind", "page", "heading"), [("encoding", "encodings.md", "# Encodings"), ("score", "sensitivity.md", "## Scores")]
)
def test_the_page_has_them_all(kind, page, heading):
    section = (DOCS / page).read_text(encoding="utf-8").partition(heading)[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert sorted(name for cell in cells for name in re.findall(r"`(\w+)`", cell)) == sorted(builtin_names(KINDS[kind]))
