"""The language model on the Bible by book: the recipe that makes its files, and full exchange against a plain loop."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import fedchunk
from fedchunk.orchestrator.core.seeds import generator
from fedchunk.orchestrator.learning.build import build_model
from fedchunk.orchestrator.learning.data.load import load_dataset
from fedchunk.orchestrator.settings.loading import load

PROJECT = Path(__file__).parents[1]
RECIPE = PROJECT / "examples" / "bible_by_book.py"
CONFIGS = sorted((PROJECT / "configs").glob("bible_*.yaml"))
VERSES = ["Ge1:1 In the beginning.", "Ge1:2 And: 3:4 the earth.", "1Sm1:1 Now there was.", "Rev22:21 The grace. Amen."]

# The recipe


def command(folder, script):
    """A command ``bible`` that does what a shell script says."""
    folder.mkdir(exist_ok=True)
    file = folder / "bible"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return str(folder)


def printing(*lines):
    said = "\n".join(f"echo '{line}'" for line in lines)
    return f'[ "$*" = "-f gen1:1-rev22:21" ] || exit 9\n{said}'


def made(folder, path, *options):
    arguments = [sys.executable, str(RECIPE), str(folder), *options]
    environment = os.environ | {"PATH": path}
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_a_file_for_each_book_in_the_order_of_the_bible(tmp_path):
    done = made(tmp_path / "books", command(tmp_path / "bin", printing(*VERSES)))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{tmp_path / 'books'}: 3 books, 4 verses, 70 bytes\n"
    assert {path.name: path.read_text() for path in (tmp_path / "books").iterdir()} == {
        "01-Ge.txt": "In the beginning.\nAnd: 3:4 the earth.\n",
        "02-1Sm.txt": "Now there was.\n",
        "03-Rev.txt": "The grace. Amen.\n",
    }


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (None, "there is no command bible; on Debian: apt-get install bible-kjv bible-kjv-text"),
        (
            "echo 'cannot open bible.data' >&2; exit 1",
            "failed: cannot open bible.data\nIts text is a package",
        ),
        ("exit 0", "failed: it printed nothing"),
        (
            printing(VERSES[0], "Unknown book"),
            "line 2 of bible -f gen1:1-rev22:21 is no verse with its book: b'U",
        ),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(script, said, tmp_path):
    (tmp_path / "empty").mkdir()
    done = made(tmp_path / "books", str(tmp_path / "empty") if script is None else command(tmp_path / "bin", script))
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "books").exists()


def test_files_that_are_no_books_would_be_clients(tmp_path):
    path = command(tmp_path / "bin", printing(*VERSES))
    assert made(tmp_path / "books", path).returncode == made(tmp_path / "books", path).returncode == 0
    (tmp_path / "books" / "notes.txt").write_text("mine")
    done = made(tmp_path / "books", path)
    assert (done.returncode, "has notes.txt in it" in done.stderr) == (1, True)


def test_some_books_keep_their_numbers(tmp_path):
    path = command(tmp_path / "bin", printing(*VERSES))
    done = made(tmp_path / "books", path, "--books", "2-3")
    assert done.stdout == f"{tmp_path / 'books'}: 2 books, 2 verses, 32 bytes\n"
    assert {file.name for file in (tmp_path / "books").iterdir()} == {"02-1Sm.txt", "03-Rev.txt"}


@pytest.mark.parametrize("books", ["4-9", "2", "3-2", "0-1", "a-b"])
def test_books_that_are_not_there_are_refused(books, tmp_path):
    done = made(tmp_path / "books", command(tmp_path / "bin", printing(*VERSES)), "--books", books)
    assert done.returncode != 0
    assert "--books" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "books").exists()


def test_the_configurations_read_what_the_recipe_writes(tmp_path):
    assert CONFIGS
    books = [f"Bk{chr(97 + book)}{verse}:1 {'word ' * 40}" for book in range(3) for verse in range(1, 4)]
    assert made(tmp_path / "bible", command(tmp_path / "bin", printing(*books))).returncode == 0
    for config in CONFIGS:
        data = load_dataset(load(config, [f"data_dir={tmp_path}", "number_of_clients=3"]).settings)
        assert set(data.clients_S.tolist()) == {"01-Bka", "02-Bkb", "03-Bkc"}


def is_installed():
    if shutil.which("bible") is None:
        return False
    return subprocess.run(["bible", "-f", "gen1:1"], capture_output=True, timeout=60, check=False).returncode == 0


@pytest.mark.skipif(not is_installed(), reason="needs Debian's packages bible-kjv and bible-kjv-text")
def test_the_whole_bible_is_66_clients(tmp_path):
    done = made(tmp_path / "bible", os.environ["PATH"])
    assert done.stdout == f"{tmp_path / 'bible'}: 66 books, 31,102 verses, 4,137,850 bytes\n"
    books = {path.stem: path.read_bytes() for path in sorted((tmp_path / "bible").iterdir())}
    assert [*books][:2] + [*books][-2:] == ["01-Ge", "02-Exo", "65-Jude", "66-Rev"]
    assert books["01-Ge"].startswith(b"In the beginning God created the heaven and the earth.\n")
    assert books["43-John"].splitlines()[-1].endswith(b"Amen.")
    assert sum(text.count(b"\n") for text in books.values()) == 31_102
    for config in CONFIGS:
        settings = load(config, [f"data_dir={tmp_path}"]).settings
        data = load_dataset(settings)
        assert len(set(data.clients_S.tolist())) == settings.federation.number_of_clients == 66
        assert len(data.train_x) + len(data.test_x) == sum((len(text) - 1) // 64 for text in books.values())


# Full exchange

TEXTS = {
    "01-Ge": "In the beginning God created the heaven and the earth. ",
    "02-Exo": "Now these are the names of the children of Israel. ",
    "31-Obad": "The vision of Obadiah. ",
}
LENGTH = 12
LEARNING = {"learning_rate": 0.2, "momentum": 0.9, "number_of_epochs": 2, "train_batch_size": 5}
MODELS = {
    "transformer": {"width": 16, "depth": 1, "heads": 2},
    "lstm": {"width": 10, "depth": 1},
}


@pytest.fixture
def books(tmp_path):
    (tmp_path / "text").mkdir()
    for place, (name, verse) in enumerate(TEXTS.items()):
        (tmp_path / "text" / f"{name}.txt").write_text(verse * (9 - 2 * place))
    return tmp_path


def settings_for(folder, model, **more):
    return {
        "task": "language_model", "dataset_type": "text", "data_dir": str(folder), "data_distribution_kind": "natural",
        "dataset_options": {"length": LENGTH}, "number_of_clients": len(TEXTS), "model_type": model,
        "model_options": MODELS[model], "federated_learning_rounds": 3, "aggregation_sample_scaling": True,
        "random_seed": 5, "mlflow_enabled": False, "device": "cpu", **LEARNING, **more,
    }  # fmt: skip


def plain_fedavg(folder, settings):
    """FedAvg as a textbook has it, from files to weights: torch modules, torch.optim, a state_dict."""
    build = lambda: build_model(settings, (LENGTH,), 256)  # noqa: E731
    global_state = build().state_dict()
    for round_index in range(1, settings.federation.federated_learning_rounds + 1):
        states, weights = [], []
        for client, file in enumerate(sorted((folder / "text").iterdir())):
            content = list(file.read_bytes())
            starts = range(0, len(content) - LENGTH, LENGTH)
            samples = torch.tensor([content[start : start + LENGTH + 1] for start in starts])
            samples = samples[: len(samples) - round(0.1 * len(samples))]  # the last tenth is tested
            model = build()
            model.load_state_dict(global_state)
            optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING["learning_rate"], momentum=LEARNING["momentum"])
            rng = generator(settings.federation.random_seed, "batches", round_index, client)
            for _ in range(LEARNING["number_of_epochs"]):
                for batch in torch.from_numpy(rng.permutation(len(samples))).split(LEARNING["train_batch_size"]):
                    tokens = samples[batch]
                    optimizer.zero_grad()
                    logits = model(tokens[:, :-1].contiguous())
                    torch.nn.functional.cross_entropy(logits.reshape(-1, 256), tokens[:, 1:].reshape(-1)).backward()
                    optimizer.step()
            states.append(model.state_dict())
            weights.append(len(samples))
        global_state = {
            name: (sum(w * s[name].double() for s, w in zip(states, weights, strict=True)) / sum(weights)).float()
            for name in global_state
        }
    return np.concatenate([global_state[name].numpy().ravel() for name, _ in build().named_parameters()])


@pytest.mark.parametrize("model", MODELS)
def test_full_exchange_of_books_gives_the_bits_of_a_plain_loop(books, model, tmp_path, monkeypatch):
    monkeypatch.setattr("fedchunk.orchestrator.run._write_report", lambda folder: folder / "report.html")
    chunks = {"chunking": True, "chunking_parts": 30, "sensitivity_percentage": 100.0}
    values = settings_for(books, model)
    dense = fedchunk.run(values, output=tmp_path / "dense", local=True, progress=False)
    chunked = fedchunk.run(values | chunks, output=tmp_path / "chunked", local=True, progress=False)
    plain_P = plain_fedavg(books, fedchunk.load_settings(values))
    plain = hashlib.sha256(plain_P.astype("<f4").tobytes()).hexdigest()
    assert dense.summary["weights_sha256"] == chunked.summary["weights_sha256"] == plain
    assert dense.summary["target"] == chunked.summary["target"] < 8  # bits_per_byte; guessing costs 8
