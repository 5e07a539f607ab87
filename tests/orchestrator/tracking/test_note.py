import pytest

from fedchunk.orchestrator.settings.sections import ChunkingSettings, FederationSettings
from fedchunk.orchestrator.settings.whole import Settings
from fedchunk.orchestrator.tracking.note import note

PEERS = {"federated_learning_schema": "DecentralizedFederatedLearning"}


@pytest.fixture
def facts(info):
    """The lines of a run's description, from settings by their flat names."""

    def describe(federation=None, **chunking):
        settings = Settings(
            chunking=ChunkingSettings(**({"chunking": True} | chunking)),
            federation=FederationSettings(**(federation or {})),
        )
        return [line[2:] for line in note(settings.flat(), info).splitlines() if line.startswith("- ")]

    return describe


def test_the_plain_case_has_no_more_than_it_needs(facts):
    assert facts(sensitivity_percentage=25.0) == [
        "8 parameters; 4 chunks, of which a client sends 25 %",
        "1,437 training samples, 360 test samples",
        "2 actors, backend local, device cpu",
    ]
    assert facts(chunking=False)[0] == "8 parameters; no chunking: the whole model in every round"


@pytest.mark.parametrize(
    ("chunking", "words"),
    [
        ({"dynamic_sensitivity_percentage": True}, "energy: The fewest chunks that hold"),
        (
            {"sensitivity_policy": "threshold", "sensitivity_threshold": 0.5},
            "threshold: The chunks whose score is at least sensitivity_threshold",
        ),
        ({"sensitivity_policy": "knee"}, "knee: Up to the knee of the scores' energy curve"),
        ({"sensitivity_policy": "utopia"}, "utopia: Nearest to all of the direction"),
        (
            {"sensitivity_policy": "schedule", "sensitivity_schedule": (50, 2.5)},
            "schedule: The percentages of sensitivity_schedule",
        ),
        (
            {"sensitivity_policy": "budget", "sensitivity_budget_mb": 7.5},
            "budget: As many as sensitivity_budget_mb allows",
        ),
    ],
)
def test_policies_in_words(facts, chunking, words):
    fact = facts(sensitivity_percentage=80.0, **chunking)[0]
    assert f"of which a client sends at most 80 %, by the policy {words}" in fact
    assert fact.endswith(", 7.5 MB in all") == ("sensitivity_budget_mb" in chunking)


def test_a_budget_is_said_whatever_the_policy(facts):
    assert "sends 80 %, 3 MB in all" in facts(sensitivity_percentage=80.0, sensitivity_budget_mb=3.0)[0]


def test_users_own_components_are_called_so(info):
    own = {"chunking": True, "sensitivity_policy": "./mine.py:third", "chunk_reconstruction": "lab.rules:mine"}
    text = note(Settings().flat() | own, info)
    assert "by the policy `./mine.py:third` (the user's own)" in text
    assert "exchange rule `lab.rules:mine` (the user's own)" in text


@pytest.mark.parametrize(
    ("chunking", "words"),
    [
        (
            {"chunk_reconstruction": "own_weights"},
            "exchange rule own_weights: Whoever did not send a chunk counts with",
        ),
        (
            {"chunk_reconstruction": "error_feedback"},
            "exchange rule error_feedback: Changes are sent, added to a model",
        ),
        (
            {"chunk_agreement": "consensus", "agreement_interval": 5},
            "(consensus), agreed on with scores of a byte every 5",
        ),
        ({"chunk_agreement": "consensus", "agreement_scores": "none", "agreement_interval": 5}, "without scores"),
        ({"chunk_encoding": "int4", "chunk_compression": "zstd"}, "values travel as int4, compressed with zstd"),
        ({"chunk_compression": "lz4"}, "values travel as float32, compressed with lz4"),
    ],
)
def test_what_differs_from_the_plain_exchange_is_one_fact(facts, chunking, words):
    assert len(facts(**chunking)) == 4
    assert facts(**chunking)[1].find(words) >= 0
    assert len(facts(**(chunking | {"chunking": False}))) == 3


@pytest.mark.parametrize(
    ("federation", "words"),
    [
        ({"federated_learning_topology": "ring"}, "peers: ring: Each client has the one before and the one after it"),
        ({"federated_learning_topology": "k_connected", "k_value": 4}, "peers: k_connected: A random graph"),
        ({"federated_learning_topology": "complete"}, "peers: complete: Everybody is a neighbour of everybody"),
        (
            {"federated_learning_topology": "custom", "adjacency_matrix_file_name": "links.csv"},
            "peers: custom: The graph of adjacency_matrix_file_name",
        ),
    ],
)
def test_topologies_in_words(facts, federation, words):
    peers = facts({**PEERS, **federation}, chunk_reconstruction="stale_copies", stale_copy_step=0.25)

    assert words in peers[1]
    assert peers[2].startswith("exchange rule stale_copies: Peers send changes and train from what is known of them")
    assert words in facts({**PEERS, **federation}, chunking=False)[1]
