"""Reads the links of clients: a YAML file, or one that is shipped by name. All faults at once, each with its place.

up_mbit: {lognormal: {median: 10, sigma: 0.5}}     # Mbit/s; a number, or how it spreads over clients
down_mbit: {uniform: [20, 100]}
latency_ms: {choice: {20: 0.7, 200: 0.3}}          # one way; a list is a choice of equals
compute_factor: 1                                  # training takes so many times as long as in the run
server_up_mbit: 1000                               # of the coordinator, all clients together; left out: no limit
server_down_mbit: 1000
seed: 0                                            # of what is drawn
clients: links.csv                                 # clients with values of their own, beside this file
"""

from __future__ import annotations

import csv
import difflib
import io
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.core.links import FIELDS, Choice, Fixed, Links, Lognormal, Spread, Uniform
from fedchunk.orchestrator.settings.fault_texts import shown
from fedchunk.orchestrator.settings.yaml_source import MAX_BYTES, TOO_LONG, Entry, plain_value, read_document

SHIPPED = Path(__file__).parents[2] / "configs" / "links"
"""The links that are shipped, in a checkout as in an installed package."""
SERVER = ("server_up_mbit", "server_down_mbit")
KEYS = (*FIELDS, *SERVER, "seed", "clients")
DEFAULTS: Mapping[str, Spread] = {"latency_ms": Fixed(0.0), "compute_factor": Fixed(1.0)}
MAY_BE_0 = ("latency_ms", "compute_factor")
MOST = 1e9
"""Largest value of anything: beyond it a unit was mistaken."""


class _Wrong(Exception):
    """What is wrong with a value, in words."""


def shipped_links() -> tuple[str, ...]:
    """The names of the links that are shipped."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def load_links(source: str | Path) -> Links:
    """The links that a file describes.

    Args:
        source: a YAML file, or the name of one that is shipped: :func:`shipped_links`.

    Raises:
        ConfigError: with everything that is wrong.

    Example:
        >>> load_links("wan").of(2).down_N.tolist()
        [1250000.0, 1250000.0]
    """
    is_shipped = str(source) in shipped_links()
    path = SHIPPED / f"{source}.yaml" if is_shipped else Path(source)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"cannot be read ({error}); give a YAML file, or one of {', '.join(shipped_links())}"
        raise ConfigError([Fault(str(source), "", message)]) from None
    if len(content) > MAX_BYTES:
        raise ConfigError([Fault(str(source), "", TOO_LONG)])
    return parse_links(text, str(source), path.parent)


def parse_links(text: str, name: str, folder: Path) -> Links:
    """The same from text; ``folder`` is where a file of clients is looked for. Raises ConfigError."""
    entries, faults = read_document(text, name)
    found: dict[str, Any] = {}
    for entry in entries:
        if entry.key not in KEYS:
            near = difflib.get_close_matches(entry.key, KEYS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(KEYS)}"
            faults.append(Fault(entry.where, entry.key, f"nothing of links; {hint}"))
            continue
        try:
            found[entry.key] = _read(entry, folder)
        except _Wrong as wrong:
            faults.append(Fault(entry.where, entry.key, str(wrong)))
    spreads = {**DEFAULTS, **{key: found[key] for key in FIELDS if key in found}}
    of_clients = found.get("clients", {})
    faults += [
        Fault(name, key, "is missing; give a rate in Mbit/s, how it spreads, or a column of it in the file of clients")
        for key in FIELDS
        if key not in spreads and key not in of_clients and not faults
    ]
    if faults:
        raise ConfigError(faults)
    server = {key: found.get(key) for key in SERVER}
    return Links(name, spreads, found.get("seed", 0), **server, of_clients=of_clients)


def _read(entry: Entry, folder: Path) -> Any:
    if entry.key in FIELDS:
        return _spread(entry.key, entry.value)
    if entry.key in SERVER:
        return None if entry.value is None else _number(entry.key, entry.value)
    if entry.key == "seed":
        if isinstance(entry.value, bool) or not isinstance(entry.value, int) or entry.value < 0:
            raise _Wrong(f"got {shown(entry.value)}; allowed: a whole number, 0 or more")
        return entry.value
    if not isinstance(entry.value, str):
        raise _Wrong(f"got {shown(entry.value)}; allowed: a CSV file, relative to this one")
    return _clients(folder / entry.value)


def _spread(key: str, value: Any) -> Spread:
    if isinstance(value, list):
        return _choice(key, value)
    if not isinstance(value, dict):
        return Fixed(_number(key, value))
    if len(value) != 1 or next(iter(value)) not in _SPREADS:
        raise _Wrong(f"got {', '.join(map(str, value)) or 'nothing'}; allowed: a number, or one of {_WAYS}")
    ((name, of),) = value.items()
    return _SPREADS[name](key, of)


def _lognormal(key: str, of: Any) -> Spread:
    if not isinstance(of, dict) or set(of) != {"median", "sigma"}:
        raise _Wrong("lognormal is written {lognormal: {median: 10, sigma: 0.5}}")
    return Lognormal(_number(key, of["median"]), _number("sigma", of["sigma"], may_be_0=True))


def _uniform(key: str, of: Any) -> Spread:
    if not isinstance(of, list) or len(of) != 2:
        raise _Wrong("uniform is written {uniform: [low, high]}")
    low, high = (_number(key, one) for one in of)
    if low > high:
        raise _Wrong(f"got a low end of {low:g} above the high end of {high:g}")
    return Uniform(low, high)


def _choice(key: str, of: Any) -> Spread:
    if isinstance(of, list) and of:
        return Choice(tuple(_number(key, one) for one in of), (1.0,) * len(of))
    if isinstance(of, dict) and of:
        weights = tuple(_number("a weight", one, may_be_0=True) for one in of.values())
        if not sum(weights):
            raise _Wrong("all weights of the choice are 0")
        return Choice(tuple(_number(key, plain_value(str(one))) for one in of), weights)
    raise _Wrong("a choice is a list, [5, 20, 100], or values with their weights, {choice: {5: 0.2, 20: 0.8}}")


_SPREADS: Mapping[str, Callable[[str, Any], Spread]] = {
    "lognormal": _lognormal,
    "uniform": _uniform,
    "choice": _choice,
}
_WAYS = ", ".join(_SPREADS)


def _number(key: str, value: Any, *, may_be_0: bool = False) -> float:
    least = 0.0 if may_be_0 or key in MAY_BE_0 else math.ulp(0.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= MOST:
        raise _Wrong(f"got {shown(value)}; allowed: a number {'from 0' if not least else 'above 0'} to {MOST:g}")
    return float(value)


def _clients(path: Path) -> dict[str, dict[int, float]]:
    """The columns of a CSV file by client; an empty cell says nothing."""
    try:
        rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")), strict=True)
        names = [name.strip() for name in rows.fieldnames or ()]
        listed = list(rows.reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _Wrong(f"{path} cannot be read ({error})") from None
    if "client" not in names or not set(names) <= {"client", *FIELDS} or len(set(names)) < len(names):
        columns = ", ".join(FIELDS)
        raise _Wrong(f"{path} has the columns {', '.join(names) or 'none'}; allowed: client, and any of {columns}")
    values: dict[str, dict[int, float]] = {name: {} for name in names if name != "client"}
    known: set[int] = set()
    for line, cells in enumerate((row for row in listed), 2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(names):
            raise _Wrong(f"{path}:{line} has {len(cells)} cells, expected {len(names)}")
        row = {name: plain_value(cell.strip()) for name, cell in zip(names, cells, strict=True)}
        client = row.pop("client")
        if not isinstance(client, int) or client < 0 or client in known:
            raise _Wrong(f"{path}:{line}: client: got {shown(client)}; allowed: each client once, by its number from 0")
        known.add(client)
        for name, value in row.items():
            if value is not None:
                values[name][client] = _in_cell(name, value, f"{path}:{line}")
    return values


def _in_cell(name: str, value: Any, where: str) -> float:
    try:
        return _number(name, value)
    except _Wrong as wrong:
        raise _Wrong(f"{where}: {name}: {wrong}") from None
