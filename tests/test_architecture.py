"""Which way the arrows point: every import in our packages, read from the source, also those inside functions."""

import ast
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("orchestrator", "actors", "analysis")
SOURCES = {"fedchunk": ROOT / "fedchunk" / "__init__.py"} | {
    "fedchunk." + ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*.py"))
}
NAMES = (
    "cli",
    "cli_data",
    "cli_export",
    "cli_fork",
    "cli_options",
    "cli_play",
    "cli_records",
    "cli_sweep",
    "export",
    "fork",
    "main",
    "run",
    "sweep",
)
ENTRANCES = {f"fedchunk.orchestrator.{name}" for name in NAMES}
"""The command line, and what a script calls: they join all parts, and no part knows them."""
LONGEST_FILE = 400

HOMES = {
    "ray": ("actors.backends.ray_",),
    "mlflow": ("orchestrator.tracking.",),
    "yaml": ("orchestrator.settings.yaml_source",),
    "networkx": ("orchestrator.methods.",),
    "typer": ("orchestrator.cli",),
    "rich": ("orchestrator.commands.data_table", "orchestrator.commands.progress", "orchestrator.commands.sweep_table"),
    "matplotlib": ("analysis.",),
    "PIL": ("orchestrator.learning.data.pictures",),
    "torch": ("orchestrator.learning.", "orchestrator.cli", "orchestrator.export", "actors."),
    "torchvision": ("orchestrator.learning.",),
    "transformers": ("orchestrator.learning.models.huggingface",),
    "peft": ("orchestrator.learning.lora",),
    "pydantic": ("orchestrator.settings.",),
    "cloudpickle": ("orchestrator.component_source",),
}
"""The only modules (by the beginning of their names) that may import a library."""

PURE = {"numpy", "numpy.typing", "__future__", "collections.abc", "dataclasses", "functools", "typing"} | {
    "bisect", "enum", "fractions", "hashlib", "heapq", "itertools", "math", "pyarrow", "struct", "xxhash",
}  # fmt: skip
"""All that ``fedchunk.orchestrator.chunking`` may use: no files, clock, logging, processes or settings objects."""


def imports(path: Path, *, outside_functions: bool = False) -> Iterator[str]:
    """Modules that a file imports; ``from a import b`` counts as ``a.b`` where that is a module of ours."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in _outside_functions(tree) if outside_functions else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import in line {node.lineno}"
            assert node.module is not None
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            ours = [name for name in inner if name in SOURCES]
            yield from ours
            if len(ours) < len(inner):
                yield node.module


def _outside_functions(tree: ast.AST) -> Iterator[ast.AST]:
    """Statements that run when the module is imported, and those for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from _outside_functions(node)


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def arrows(origin: str, *targets: str) -> list[str]:
    """Imports from modules of our package ``origin``, the entrances apart, into ours or libraries ``targets``."""
    banned = [f"fedchunk.{target}" if target.partition(".")[0] in FOLDERS else target for target in targets]
    modules = {module: path for module, path in SOURCES.items() if within(module, f"fedchunk.{origin}")}
    assert modules, f"there is no {origin}"
    return [
        f"{module} imports {imported}"
        for module, path in modules.items()
        if module not in ENTRANCES
        for imported in imports(path)
        if any(within(imported, target) for target in banned)
    ]


LINKS = ("links", "link_times")
"""Mathematics that a plan and a report share."""
RECORDS = ("orchestrator.recording", "orchestrator.tracking")
ABOVE_CONTRACT = (
    "orchestrator.settings", "orchestrator.methods", "orchestrator.learning", *RECORDS, "orchestrator.commands",
)  # fmt: skip


@pytest.mark.parametrize(
    ("origin", "targets"),
    [
        ("orchestrator", ("actors", "analysis", "ray")),
        ("actors", ("analysis", "mlflow", "yaml")),
        ("analysis", ("actors", "ray", "torch", "mlflow", "yaml")),
        ("orchestrator.registry", ("orchestrator", "numpy", "pyarrow", "pydantic", "torch")),
        ("orchestrator.core", ("orchestrator.contract", "orchestrator.chunking", *ABOVE_CONTRACT, "torch")),
        ("orchestrator.contract", (*ABOVE_CONTRACT, "torch")),
        ("orchestrator.learning", ("orchestrator.chunking", "orchestrator.methods", "ray")),
        ("orchestrator.methods", ("orchestrator.learning", *RECORDS, "orchestrator.commands", "torch")),
        ("orchestrator.chunking", ("orchestrator.contract", *ABOVE_CONTRACT, "torch")),
        ("orchestrator.settings", ("orchestrator.learning", "orchestrator.methods", "orchestrator.contract", "torch")),
        ("orchestrator", tuple(f"orchestrator.{name}" for name in NAMES)),
        ("actors", tuple(f"orchestrator.{name}" for name in NAMES)),
        ("analysis", tuple(f"orchestrator.{name}" for name in NAMES)),
    ],
)
def test_no_arrow_turns_round(origin, targets):
    assert arrows(origin, *targets) == []


def test_analysis_knows_only_the_tables_and_the_errors():
    ours = {
        imported
        for module, path in SOURCES.items()
        if within(module, "fedchunk.analysis")
        for imported in imports(path)
        if within(imported, "fedchunk.orchestrator") or within(imported, "fedchunk.actors")
    }

    assert ours <= {
        f"fedchunk.orchestrator.core.{name}" for name in ("records", "errors", "manifest", "parts", "target", *LINKS)
    }


@pytest.mark.parametrize(("library", "homes"), HOMES.items(), ids=list(HOMES))
def test_a_library_is_imported_in_its_one_place(library, homes):
    importers = {module for module, path in SOURCES.items() for imported in imports(path) if within(imported, library)}

    assert importers, f"nothing imports {library}: take it out of this test and of pyproject.toml"
    assert {module for module in importers if not module.removeprefix("fedchunk.").startswith(homes)} == set()


def test_chunk_mathematics_is_pure():
    used = {
        f"{module} imports {imported}"
        for module, path in SOURCES.items()
        if within(module, "fedchunk.orchestrator.chunking")
        for imported in imports(path)
        if not within(imported, "fedchunk.orchestrator.chunking")
        and imported not in PURE | {"fedchunk.orchestrator.core.errors"}
    }

    assert used == set()


def test_the_environment_is_read_at_the_entrances_and_where_ray_asks_for_it():
    readers = {
        module
        for module, path in SOURCES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv", "os.putenv")
    }

    # Ray, MLflow, torch and matplotlib take some of their switches from the environment only.
    assert readers <= ENTRANCES | {
        "fedchunk.actors.backends.inline",
        "fedchunk.actors.backends.ray_start",
        "fedchunk.orchestrator.tracking.ui",
        "fedchunk.orchestrator.tracking.store",
        "fedchunk.orchestrator.tracking.uri",
        "fedchunk.orchestrator.learning.preprocess",
        "fedchunk.analysis.mpl",
    }


def test_no_file_is_too_long_to_be_read_in_one_go():
    lengths = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in SOURCES.items()}

    assert {module: length for module, length in lengths.items() if length > LONGEST_FILE} == {}


def test_modules_do_not_import_each_other_in_a_circle():
    graph = {
        module: {imported for imported in imports(path, outside_functions=True) if imported in SOURCES} - {module}
        for module, path in SOURCES.items()
    }

    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import circle: {' -> '.join(error.args[1])}")


def test_the_wheel_has_every_folder():
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]

    folders = {path.parent.relative_to(ROOT) for path in SOURCES.values()} - {Path("fedchunk")}
    assert sorted(packages) == sorted(
        ["fedchunk", "fedchunk.configs", *("fedchunk." + ".".join(folder.parts) for folder in folders)]
    )
