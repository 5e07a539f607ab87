"""The page of results, from the raw file alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from peer_results import CHECKED_ROUNDS, DROPPED, MOST_DEVIATION, MOST_DIFFERENCE, Check, Results, Spread, Timed
from peer_targets import TARGETS

TITLE = f"""# Peers: the same federated rounds elsewhere

Made by `python benchmarks/peers.py`. Everybody gets the same data, clients of each round, batches and first weights;
plain SGD, equal weights, no evaluation in what is timed.

- Before a time counts, the weights after {CHECKED_ROUNDS} rounds must be those of the plain loop: no value off by more
  than {MOST_DIFFERENCE:.0e} of the norm of all, and all together by no more than {MOST_DEVIATION:.0e} of the way that
  they went.
- Who ends with an error is asked once more.
- *round*: median (least to most) of the steady rounds of all repetitions, without the first {DROPPED} and the last.
- *first round*: its end, from the start of the process.
- *fedchunk is*: how many times as fast its dense round is: median (least to most) of the repetitions, in each of which
  all ran in turn.
- *memory*: the most that all processes of a run of {CHECKED_ROUNDS} rounds had together (proportional set size; pages
  of mapped data count where they were touched)."""


def page(raw: Mapping[str, Any]) -> str:
    """Markdown of all workloads of the raw file, verdicts first."""
    lines = [TITLE, "", *_verdicts(raw["workloads"])]
    for name, section in raw["workloads"].items():
        lines += ["", *_section(name, section)]
    return "\n".join(lines) + "\n"


def results_of(section: Mapping[str, Any]) -> Results:
    """The timed runs of a workload's section."""
    return Results([Timed(**run) for run in section["runs"]])


def _verdicts(sections: Mapping[str, Any]) -> Iterator[str]:
    yield "| workload | figure | must | aim | measured | |"
    yield "| --- | --- | ---: | ---: | ---: | --- |"
    for target in TARGETS:
        section = sections.get(target.workload)
        found = target.measure(results_of(section), section["actors"]) if section else None
        bound = "at least" if target.more_is_better else "at most"
        place = f"| {target.workload} | {target.what} | {bound} {target.must:g} | {target.aim:g} |"
        if found is None:
            yield f"{place} not measured | |"
        else:
            spread = f"{found.median:.2f} ({found.least:.2f} to {found.most:.2f})"
            yield f"{place} {spread} | {target.verdict(found.median)} |"


def _section(name: str, section: Mapping[str, Any]) -> Iterator[str]:
    results, checks = results_of(section), [Check(**check) for check in section["checks"]]
    yield f"## {name}: {section['title']}"
    yield ""
    yield section["description"]
    yield ""
    yield "| | round, ms | first round, s | fedchunk is | memory, MB | weights differ by |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    labels = section["labels"]
    for check in checks:
        if check.fault is None and check.contender in results.names():
            yield f"| {labels[check.contender]} | {_row(results, check)} |"
    for check in checks:
        if check.fault is not None:
            yield ""
            yield f"No time counts of {labels[check.contender]}: {check.fault}"
    if "loop" in results.names():
        training = 1e3 * results.training("loop") / section["actors"]
        yield ""
        yield f"The loop's training time alone, divided by {section['actors']}: {training:.4g} ms."
    yield ""
    yield from _circumstances(section, checks)


def _row(results: Results, check: Check) -> str:
    name = check.contender
    faster = ""
    if name != "fedchunk" and "fedchunk" in results.names():
        faster = f"{_spread(results.ratio(name, 'fedchunk'))} times as fast"
    differs = "(chunks)" if check.difference is None else f"{check.difference:.1g}"
    first = _spread(results.first(name))
    return f"{_spread(results.rounds(name), 1e3)} | {first} | {faster} | {check.peak_mb:,.0f} | {differs}"


def _circumstances(section: Mapping[str, Any], checks: list[Check]) -> Iterator[str]:
    versions: dict[str, set[str]] = {}
    for check in checks:
        for package, version in (check.versions or {}).items():
            versions.setdefault(package, set()).add(version)
    named = ", ".join(f"{package} {' and '.join(sorted(found))}" for package, found in sorted(versions.items()))
    load = Spread.of([run["load"] for run in section["runs"]])
    yield f"{section['machine']}; load {load.least:.1f} to {load.most:.1f} before a run. {named}."


def _spread(spread: Spread, scale: float = 1.0) -> str:
    return f"{_number(scale * spread.median)} ({_number(scale * spread.least)} to {_number(scale * spread.most)})"


def _number(value: float) -> str:
    """Three digits that mean something, and no exponents."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
