import json
import subprocess
import sys

ALLOWED_OF_ORCHESTRATOR = {
    "fedchunk.orchestrator",
    "fedchunk.orchestrator.core",
    "fedchunk.orchestrator.core.link_times",
    "fedchunk.orchestrator.core.links",
    "fedchunk.orchestrator.core.seeds",
    "fedchunk.orchestrator.core.manifest",
    "fedchunk.orchestrator.core.parts",
    "fedchunk.orchestrator.core.records",
    "fedchunk.orchestrator.core.errors",
    "fedchunk.orchestrator.core.target",
}
FORBIDDEN = {"torch", "ray", "mlflow", "yaml", "pydantic", "actors"}


def modules_after(code):
    """Names of all modules that a fresh interpreter has loaded after ``code``."""
    program = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_analysis_needs_neither_torch_nor_ray_nor_the_rest_of_the_orchestrator(write_run, small, tmp_path):
    path = write_run(small)
    loaded = modules_after(f"from fedchunk.analysis.report import write_report; write_report({str(path)!r})")
    assert not FORBIDDEN & loaded
    assert {name for name in loaded if name.startswith("fedchunk.orchestrator")} == ALLOWED_OF_ORCHESTRATOR
    assert "matplotlib.pyplot" not in loaded


def test_matplotlib_waits_until_something_is_drawn():
    assert "matplotlib" not in modules_after("from fedchunk.analysis import ChunkAnalyzer, Run, load_run")
