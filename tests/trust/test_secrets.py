"""Secrets of the environment are in nothing that a command prints or writes."""

import pytest

from lora_lightning.data.sources import RawFile, find_or_download
from lora_lightning.errors import InputError
from tests.commands import error_of, run_command
from tests.tiny import DECODING, TRAINING

SECRETS = {
    "WANDB_API_KEY": "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c",
    "HF_TOKEN": "hf_planted-token",
    "DATABASE_PASSWORD": "planted password",
}


@pytest.fixture
def secrets(monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return SECRETS.values()


def test_a_run_and_its_results_hold_none(tmp_path, secrets, capfd):
    run_command("train", *TRAINING, *DECODING, "then=[generate,evaluate]", "logger=many",
                "logger.wandb.offline=true", "protocol.metrics=[bleu]",
                f"output_dir={tmp_path / 'run'}")  # fmt: skip
    with pytest.raises(SystemExit):
        run_command("train", "-m", *TRAINING, "method.rank=999,998",
                    f"output_dir={tmp_path / 'sweep'}")  # fmt: skip
    printed = capfd.readouterr()
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    for secret in secrets:
        assert secret not in printed.out + printed.err
        assert [file for file in written if secret.encode() in file.read_bytes()] == []


@pytest.mark.parametrize("name", SECRETS)
def test_an_error_names_the_variable_in_place_of_its_value(tmp_path, secrets, name, capfd):
    error = error_of("train", f"model.path='/${{oc.env:{name}}}'", f"output_dir={tmp_path / 'run'}")
    assert f"<{name}>" in error
    with pytest.raises(SystemExit):
        run_command("train", "-m", f"model.path='/${{oc.env:{name}}}'", "seed=0,1",
                    f"output_dir={tmp_path / 'sweep'}")  # fmt: skip
    printed = capfd.readouterr()
    assert SECRETS[name] not in error + printed.out + printed.err
    assert f"<{name}>" in (tmp_path / "sweep" / "0" / "error.txt").read_text()
    for file in ("error.txt", "job.json"):
        assert SECRETS[name] not in (tmp_path / "sweep" / "0" / file).read_text()


def test_a_signed_url_is_shown_without_its_signature(tmp_path):
    url = "https://127.0.0.1:1/data?X-Signature=abc"
    with pytest.raises(InputError) as raised:
        find_or_download(RawFile("train.txt", "0" * 64), tmp_path, url)
    assert "https://127.0.0.1:1/data?…" in str(raised.value)
    assert "abc" not in str(raised.value)


@pytest.mark.parametrize("source", [
    "http://example.org/data", "ftp://example.org/data", "file:///etc", "//example.org",
    "http://localhost.evil.org/", "https://name:word@example.org/data",
])  # fmt: skip
def test_only_https_is_downloaded_from(tmp_path, source):
    with pytest.raises(InputError, match="only https") as raised:
        find_or_download(RawFile("train.txt", "0" * 64), tmp_path, source)
    assert "word@" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_message_holds_no_control_characters():
    assert str(InputError("a\x1b[31mred\x9b\x07")) == "a\\x1b[31mred\\x9b\\x07"
