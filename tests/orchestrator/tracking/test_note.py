import pytest
from fedchunk.orchestrator.settings.sections import ChunkingSettings, FederationSettings, Settings
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
        ({"dynamic_sensitivity_percentage": True}, "the fewest that hold 95 % of the energy, at most 80 %"),
        (
            {"sensitivity_policy": "threshold", "sensitivity_threshold": 0.5},
            "with a score of 0.5 or more, at most 80 %",
        ),
        ({"sensitivity_policy": "knee"}, "before the knee of the energy curve, at most 80 %"),
        ({"sensitivity_policy": "utopia"}, "(utopia), at most 80 %"),
        (
            {"sensitivity_policy": "schedule", "sensitivity_schedule": (50, 2.5)},
            "50, 2.5 % in the first rounds, at most",
        ),
        (
            {"sensitivity_policy": "budget", "sensitivity_budget_mb": 7.5},
            "what the budget allows, at most 80 %, 7.5 MB",
        ),
        ({"sensitivity_budget_mb": 3.0}, "sends 80 %, 3 MB in all"),
    ],
)
def test_policies_in_words(facts, chunking, words):
    assert words in facts(sensitivity_percentage=80.0, **chunking)[0]


@pytest.mark.parametrize(
    ("chunking", "words"),
    [
        ({"chunk_reconstruction": "own_weights"}, "receiver's own weights (own_weights)"),
        ({"chunk_reconstruction": "error_feedback"}, "kept for later (error_feedback)"),
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
        ({"federated_learning_topology": "ring"}, "peers in a ring"),
        ({"federated_learning_topology": "k_connected", "k_value": 4}, "each with 4 neighbours drawn at random"),
        ({"federated_learning_topology": "complete"}, "everybody with everybody"),
        (
            {"federated_learning_topology": "custom", "adjacency_matrix_file_name": "links.csv"},
            "peers with the links of `links.csv`",
        ),
    ],
)
def test_topologies_in_words(facts, federation, words):
    peers = facts({**PEERS, **federation}, chunk_reconstruction="stale_copies", stale_copy_step=0.25)

    assert words in peers[1]
    assert peers[2] == "peers keep what they last heard of each neighbour (stale_copies, step 0.25)"
    assert words in facts({**PEERS, **federation}, chunking=False)[1]
