"""Who takes part, and how each is started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

DISTRIBUTED = ("-m", "torch.distributed.run", "--standalone")
ONE_XLA_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
FLOWER_OFFLINE = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
CHUNKS = ("chunking=true", "chunking_parts=100", "sensitivity_percentage=20")
FEEDBACK = (
    "chunking=true", "chunking_parts={short_chunks}", "chunk_score=accumulated", "chunk_reconstruction=error_feedback",
    "withheld_share=0.5", "sensitivity_percentage=8.5", "downlink_sensitivity_percentage=8.5", "chunk_encoding=int4",
    "chunk_compression=zstd", "initial_model=seed",
)  # fmt: skip
"""Takes 1 % of the bytes where everybody takes part; with a part of the clients more goes down."""
RELAY = (
    *(option for option in FEEDBACK if not option.startswith(("chunk_reconstruction", "downlink", "initial_model"))),
    "chunk_reconstruction=relay", "federated_learning_schema=DecentralizedFederatedLearning",
    "federated_learning_topology=k_connected", "k_value=4",
)  # fmt: skip
"""Among peers: what everybody sends in a star, everybody gets."""


@dataclass(frozen=True)
class Contender:
    """One row of the tables."""

    name: str
    label: str
    script: str
    """Of ``peers_side``."""
    environment: str | None = None
    """One of :mod:`peer_environments`; None: fedchunk's own."""
    actors: int = 1
    options: tuple[str, ...] = ()
    """``{short_chunks}`` stands for as many chunks as have 64 values each."""
    launcher: tuple[str, ...] = ()
    """What stands between the interpreter and the script."""
    variables: Mapping[str, str] = field(default_factory=dict)
    is_dense: bool = True
    """Whether its weights must be those of plain federated averaging."""
    is_of_peers: bool = False
    """Whether it is for those workloads alone that peers can do."""


def contenders(cores: int, fedchunk_actors: Sequence[int]) -> tuple[Contender, ...]:
    """All of them, in the order of the tables; the first number of actors is that of ``fedchunk`` itself."""
    one_thread, one_xla_thread = {"OMP_NUM_THREADS": "1"}, {"XLA_FLAGS": ONE_XLA_THREAD}
    flower = one_thread | FLOWER_OFFLINE
    pfl = one_thread | {"PFL_PYTORCH_DEVICE": "cpu", "PYTHONWARNINGS": "ignore::FutureWarning"}
    ranks = (*DISTRIBUTED, f"--nproc_per_node={cores}")
    return (
        *_fedchunk(fedchunk_actors),
        Contender("loop", "plain PyTorch loop, one thread", "run_loop.py", variables=one_thread),
        Contender("fedjax-1", "fedjax, one XLA thread", "run_fedjax.py", "fedjax", variables=one_xla_thread),
        Contender("fedjax", "fedjax, XLA's own threads", "run_fedjax.py", "fedjax"),
        Contender("pfl-1", "pfl-research, one process", "run_pfl.py", "pfl", variables=pfl),
        Contender("pfl", f"pfl-research, {cores} processes", "run_pfl.py", "pfl", cores, (), ranks, pfl),
        Contender("flower", f"Flower, {cores} actors", "run_flower.py", "flower", cores, variables=flower),
        Contender(
            "flower-lean", f"Flower, {cores} actors, only the nodes of a round", "run_flower.py", "flower", cores,
            ("lean",), variables=flower,
        ),
    )  # fmt: skip


def _fedchunk(actors: Sequence[int]) -> list[Contender]:
    first, *others = actors
    script = "run_fedchunk.py"
    return [
        Contender("fedchunk", f"**fedchunk**, {_actors(first)}", script, actors=first),
        Contender(
            "fedchunk-chunks", f"**fedchunk**, chunks at 20 %, {_actors(first)}", script, actors=first, options=CHUNKS,
            is_dense=False,
        ),
        Contender(
            "fedchunk-feedback", f"**fedchunk**, 8.5 % of short chunks, int4, {_actors(first)}", script, actors=first,
            options=FEEDBACK, is_dense=False,
        ),
        Contender(
            "fedchunk-relay", f"**fedchunk**, the same chunks by `relay`, {_actors(first)}", script, actors=first,
            options=RELAY, is_dense=False, is_of_peers=True,
        ),
        *(Contender(f"fedchunk-{n}", f"fedchunk, {_actors(n)}", script, actors=n) for n in others),
    ]  # fmt: skip


def _actors(number: int) -> str:
    return "1 actor" if number == 1 else f"{number} actors"


def chosen(everybody: Sequence[Contender], names: Sequence[str]) -> tuple[Contender, ...]:
    """Those of the given names or families (``pfl``: ``pfl`` and ``pfl-1``), and always the loop, the measure of all.

    Raises:
        ValueError: a name that nobody has.
    """
    unknown = [name for name in names if not any(_belongs(contender, name) for contender in everybody)]
    if unknown:
        known = ", ".join(contender.name for contender in everybody)
        raise ValueError(f"--contenders: got {', '.join(unknown)}; allowed: {known}")
    wanted = (*names, "loop")
    return tuple(contender for contender in everybody if any(_belongs(contender, name) for name in wanted))


def _belongs(contender: Contender, name: str) -> bool:
    return contender.name == name or contender.name.startswith(f"{name}-")
