import logging
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchunk.orchestrator.core.masking import MASK, mask_settings, mask_text, mask_uri
from fedchunk.orchestrator.recording.run_folder import RunFolder
from fedchunk.orchestrator.settings.running import TrackingSettings
from fedchunk.orchestrator.settings.whole import Settings
from fedchunk.orchestrator.tracking.recorder import MlflowRecorder

SECRETS = ("hunter2", "s3cr3t-token", "adm1n-user")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("http://host:5000", "http://host:5000"),
        ("https://me:pw@host:5000/x", "https://***@host:5000/x"),
        ("https://just-a-token@host", "https://***@host"),
        ("postgresql+psycopg2://u:p@ss/w@db:5432/mlflow?sslmode=require", "postgresql+psycopg2://***@db:5432/mlflow?sslmode=require"),
        ("http://h/x?a=1&access_token=abc&b=2", "http://h/x?a=1&access_token=***&b=2"),
        ("http://h/x?X-Amz-Signature=abc", "http://h/x?X-Amz-Signature=***"),
        ("sqlite:////home/me@work/mlflow.db", "sqlite:////home/me@work/mlflow.db"),
        ("call http://u:p@h/api: failed, mail me@work.org", "call http://***@h/api: failed, mail me@work.org"),
        ("", ""),
    ],
)  # fmt: skip
def test_addresses(text, masked):
    assert mask_uri(text) == masked
    assert mask_uri(masked) == masked


WORD = st.text(string.ascii_letters + string.digits + "!$%*()_-+./:@", min_size=6, max_size=20)


@given(WORD, WORD)
def test_no_password_survives(user, password):
    masked = mask_uri(f"see 'https://{user.strip('/@:')}x:{password}@host.org:5000/path' for more")
    assert f":{password}" not in masked
    assert masked.endswith("host.org:5000/path' for more")


def test_settings_are_masked_by_name_and_by_value():
    flat = {"api_key": "abc", "Password": "x", "hf_token": None, "mlflow_tracking_uri": "http://u:p@h", "seed": 3}
    assert mask_settings(flat) == {
        "api_key": MASK, "Password": MASK, "hf_token": None, "mlflow_tracking_uri": "http://***@h", "seed": 3,
    }  # fmt: skip


def test_no_setting_of_ours_is_taken_for_a_secret():
    flat = Settings().flat()
    assert mask_settings(flat) == flat


def test_documents():
    text = 'a: 1\nmlflow_tracking_uri: "http://u:hunter2@h"\nmy_secret: hunter2 and more\nother_token: null\n'
    assert mask_text(text) == 'a: 1\nmlflow_tracking_uri: "http://***@h"\nmy_secret: ***\nother_token: null\n'


def everything_below(folder):
    return [(file, file.read_bytes()) for file in folder.rglob("*") if file.is_file()]


def test_nothing_that_is_written_or_said_holds_a_secret(
    tmp_path, store_file, info, make_round, make_summary, spec, model, monkeypatch, caplog, capfd
):
    """Seeds secrets wherever a user can put them, runs, and looks through every file and the whole database."""
    user, password, token = SECRETS[2], SECRETS[0], SECRETS[1]
    address = f"https://{user}:{password}@tracking.invalid/x?access_token={token}"
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token)
    settings = Settings(tracking=TrackingSettings(mlflow_tracking_uri=address))
    flat = {**settings.flat(), "extra_api_key": token}
    caplog.set_level(logging.DEBUG)
    folder = RunFolder.create(tmp_path / "run", settings, f"mlflow_tracking_uri: {address}\nmy_password: {password}\n")
    recorder = MlflowRecorder(settings.tracking, flat, folder.path, f"sqlite:///{store_file}")
    summary = make_summary(2, status="failed", error=f"cannot reach {address}")
    for part in (folder, recorder):
        part.start(info)
        for r in (1, 2):
            part.record_rounds([make_round(r)])
        part.finish(summary, spec, model)
    assert recorder.upload()
    said = capfd.readouterr()
    seen = [*everything_below(tmp_path), ("log", caplog.text.encode()), ("out", (said.out + said.err).encode())]
    assert len(seen) > 20
    found = [(place, word) for place, content in seen for word in SECRETS if word.encode() in content]
    assert found == []


def test_a_store_that_cannot_be_reached_is_named_without_its_password(tmp_path, info, caplog):
    settings = Settings(tracking=TrackingSettings(mlflow_tracking_uri="http://me:hunter2@127.0.0.1:1/x?token=abc"))
    recorder = MlflowRecorder(settings.tracking, settings.flat(), tmp_path)
    recorder.start(info)
    for _ in range(600):
        if "The run goes on" in caplog.text:
            break
        time.sleep(0.05)
    assert "http://***@127.0.0.1:1/x?token=***" in caplog.text
    assert "The run goes on" in caplog.text
    assert "hunter2" not in caplog.text
    assert "abc" not in caplog.text


def test_a_tokenizer_is_no_secret():
    flat = {
        "tokenizer": "./mine.py:Words",
        "tokenizer_options": {"most": 9},
        "tokenizer_token": "abc",
        "hf_token": "abc",
    }
    assert mask_settings(flat) == flat | {"tokenizer_token": "***", "hf_token": "***"}
    lines = "tokenizer: ./mine.py:Words\ntokenizer_options: {most: 9}\n"
    assert mask_text(lines + "hf_token: abc\n") == lines + "hf_token: ***\n"
