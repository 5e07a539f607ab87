"""What is lost when things go wrong: the same faults as in practice, tried on real runs.

    python benchmarks/reliability.py [--only kill,frozen] [--quick]

Writes the table of ``benchmarks/results/reliability.md``, case by case as each is done. With ``--quick`` every case is
tried a few times only, and nothing is written. The whole takes about an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reliability_bench import Bench, Row
from reliability_clients import exceptions
from reliability_cost import cost_of_checkpoints, sweep_of_small_runs
from reliability_nodes import coordinators_node_killed, node_with_states_killed
from reliability_processes import actor_frozen, client_actor_killed, kill_and_resume, runs_at_once, signals
from reliability_records import bits_flipped, disk_full, large_report
from reliability_store import stores
from reliability_updates import bad_updates

RESULTS = Path(__file__).parent / "results" / "reliability.md"
FIGURES = RESULTS.with_suffix(".json")

CASES: dict[str, Callable[[Bench], Row]] = {
    "kill": kill_and_resume,
    "actors": client_actor_killed,
    "node": node_with_states_killed,
    "coordinator": coordinators_node_killed,
    "frozen": actor_frozen,
    "disk": disk_full,
    "bits": bits_flipped,
    "together": runs_at_once,
    "exceptions": exceptions,
    "updates": bad_updates,
    "signals": signals,
    "store": stores,
    "sweep": sweep_of_small_runs,
    "report": large_report,
    "cost": cost_of_checkpoints,
}


def main() -> None:
    """Runs the cases and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help=f"some of {', '.join(CASES)}, with commas")
    parser.add_argument("--quick", action="store_true", help="a few times each, and write nothing")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else list(CASES)
    with tempfile.TemporaryDirectory(prefix="fedchunk-reliability-") as folder:
        bench = Bench(Path(folder), quick=options.quick)
        for name in names:
            started = time.monotonic()
            row = CASES[name](bench)
            print(f"{row.case}: {row.outcome} ({time.monotonic() - started:.0f} s)", flush=True)
            if not options.quick:
                write(name, row)


def write(name: str, row: Row) -> None:
    """Puts a row into the table; those of other cases stay."""
    known: dict[str, Any] = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    known[name] = {"case": row.case, "outcome": row.outcome}
    FIGURES.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    head = (
        "# When things go wrong\n\nMade by `python benchmarks/reliability.py` on "
        f"{os.cpu_count()} cores. Every case is real: processes are killed, files are damaged.\n\n"
        "| what is done | what comes of it |\n| --- | --- |\n"
    )
    rows = [f"| {known[one]['case']} | {known[one]['outcome']} |" for one in CASES if one in known]
    RESULTS.write_text(head + "\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
