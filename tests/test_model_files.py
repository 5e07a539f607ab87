"""A run goes on, and is forked, with the files of its model's folder and with no others."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import fedchunk
from fedchunk.orchestrator.core import model_files
from fedchunk.orchestrator.core.errors import ConfigError
from fedchunk.orchestrator.core.model_files import changed_files

FIRST = {"config.json": b"{}", "model.safetensors": b"weights", "README.md": b"read me"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    for name, content in FIRST.items():
        (tmp_path / "model" / name).write_bytes(content)
    return tmp_path / "model"


def test_what_has_changed_is_named(folder: Path) -> None:
    before = model_files.model_files(folder)
    assert before.keys() == {"config.json", "model.safetensors"}
    assert list(changed_files(folder, before)) == []
    (folder / "README.md").write_bytes(b"read me again")
    assert list(changed_files(folder, before)) == []
    (folder / "model.safetensors").write_bytes(b"WEIGHTS")  # the same size
    os.utime(folder / "model.safetensors", ns=(1, 1))  # also where the clock is coarse
    (folder / "config.json").unlink()
    (folder / "model-2.safetensors").write_bytes(b"")
    assert list(changed_files(folder, before)) == [
        f"{folder}/config.json is gone, which was there",
        f"{folder}/model-2.safetensors was not there",
        f"{folder}/model.safetensors is not what it was",
    ]
    assert model_files.model_files(folder / "nowhere") == {}


def test_a_copy_is_the_same_and_what_was_not_written_again_is_not_read_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = model_files.model_files(folder)
    shutil.copytree(folder, tmp_path / "copy")
    for name in before:
        os.utime(tmp_path / "copy" / name, ns=(5, 5))
    assert list(changed_files(tmp_path / "copy", before)) == []
    monkeypatch.setattr(model_files, "digest_of", lambda file: pytest.fail(f"{file} is read again"))
    assert list(changed_files(folder, before)) == []


def test_a_run_of_another_model_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("peft")
    monkeypatch.setattr("fedchunk.orchestrator.run._write_report", lambda folder: folder / "report.html")
    sizes = {"n_positions": 32, "n_embd": 8, "n_layer": 1, "n_head": 2, "bos_token_id": 1, "eos_token_id": 2}

    def save(seed: int) -> None:
        torch.manual_seed(seed)
        transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=16, **sizes)).save_pretrained(
            tmp_path / "model"
        )

    settings: dict[str, Any] = {
        "task": "language_model", "dataset_type": "synthetic", "synthetic_samples": 32, "synthetic_test_samples": 8,
        "synthetic_classes": 16, "number_of_clients": 2, "federated_learning_rounds": 1, "device": "cpu",
        "mlflow_enabled": False, "model_type": "huggingface", "model_options": {"path": str(tmp_path / "model")},
        "lora_rank": 2, "chunking": False,
    }  # fmt: skip
    save(0)
    run = fedchunk.run(settings, output=tmp_path / "run", local=True, progress=False)
    assert json.loads((run.path / "config.json").read_text())["model_files"].keys() == {
        "config.json", "model.safetensors",
    }  # fmt: skip
    kept = shutil.copytree(tmp_path / "model", tmp_path / "kept")
    save(1)
    again = {"local": True, "progress": False, "federated_learning_rounds": 2}
    words = r"model_options: .*model\.safetensors is not what it was when the run began; put the model there again"
    with pytest.raises(ConfigError, match=words):
        fedchunk.resume(run.path, **again)
    with pytest.raises(ConfigError, match=words):
        fedchunk.fork(run.path, **again)
    shutil.rmtree(tmp_path / "model")
    with pytest.raises(ConfigError, match=r"config\.json is gone, which was there when the run began"):
        fedchunk.resume(run.path, **again)
    shutil.copytree(kept, tmp_path / "model")
    assert fedchunk.resume(run.path, **again).num_rounds == 2
