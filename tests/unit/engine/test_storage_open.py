"""engine/storage/open.py. No server is asked anything here."""

import json
import os
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

import pytest

from engine.storage.base import StorePermission, StoreUnfit
from engine.storage.local import LocalStore
from engine.storage.memory import MemoryStore, ThrottledMemoryStore
from engine.storage.open import UNSUPPORTED, AwsCredentialsFile, StoreOptions, open_store

S3 = StoreOptions("s3", bucket="b", aws_access_key_id="id", aws_secret_access_key="secret", aws_endpoint="https://s3.test")
EMULATOR_KEY = {"gcs_base_url": "http://127.0.0.1:1", "disable_oauth": True}
EMULATOR_KEY |= dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
AZURE = StoreOptions("azure", bucket="b", azure_storage_account="account", azure_storage_access_key="a2V5")


def test_every_kind_opens_without_being_asked_anything(tmp_path: Path) -> None:
    """O2."""
    key = write(tmp_path / "key.json", EMULATOR_KEY)
    google = StoreOptions("google", bucket="b", google_service_account=key)

    assert isinstance(open_store(StoreOptions("memory")), MemoryStore)
    assert isinstance(open_store(StoreOptions("memory-throttled")), ThrottledMemoryStore)
    assert isinstance(open_store(StoreOptions("file", data_dir=tmp_path / "data")), LocalStore)
    assert [open_store(options).url for options in (S3, google, AZURE)] == ["s3://b", "gs://b", "azure://b"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (StoreOptions("file"), "there is no data directory"),
        (replace(S3, bucket=None), "there is no bucket"),
        (StoreOptions("google", bucket=""), "there is no bucket"),
        (replace(S3, aws_endpoint="http://s3.test"), "the endpoint http://s3.test is not encrypted"),
        (replace(S3, aws_endpoint="s3.test:9000"), "does not begin with https:// or http://"),
        (replace(S3, aws_secret_access_key=None), "both its id and its secret"),
        (replace(AZURE, azure_storage_account=None), "there is no storage account"),
        (replace(AZURE, azure_endpoint="http://azure.test"), "is not encrypted"),
        (replace(AZURE, azure_storage_access_key="not base64!"), "Invalid Access Key"),
    ],
)
def test_what_cannot_work_is_refused_with_its_reason(options: StoreOptions, sentence: str) -> None:
    """O1."""
    with pytest.raises(StoreUnfit, match=sentence):
        open_store(options)


def test_files_that_are_named_but_missing_are_refused_by_name(tmp_path: Path) -> None:
    """O1."""
    for options in (
        replace(S3, tls_ca=tmp_path / "ca.pem"),
        StoreOptions("google", bucket="b", google_service_account=tmp_path / "ca.pem"),
    ):
        with pytest.raises(StorePermission, match=r"ca\.pem: no such file"):
            open_store(options)


def test_an_authority_that_is_none_is_refused(tmp_path: Path) -> None:
    """O1."""
    (tmp_path / "ca.pem").write_text("not a certificate")

    with pytest.raises(StoreUnfit, match="No certificates found"):
        open_store(replace(S3, tls_ca=tmp_path / "ca.pem"))


@pytest.mark.parametrize("text", ["", "[]", "no json"])
def test_a_google_key_file_that_is_none_is_refused_by_name(tmp_path: Path, text: str) -> None:
    """O1."""
    (tmp_path / "key.json").write_text(text)

    with pytest.raises(StoreUnfit, match=r"key\.json is not a service account's key file"):
        open_store(StoreOptions("google", bucket="b", google_service_account=tmp_path / "key.json"))


def test_an_encrypted_endpoint_may_be_unencrypted_when_that_is_allowed() -> None:
    """O1."""
    open_store(replace(S3, aws_endpoint="http://s3.test", aws_allow_http=True))
    open_store(replace(AZURE, azure_endpoint="http://azure.test", azure_allow_http=True))


def test_the_options_that_no_client_has_say_why() -> None:
    """O1."""
    assert {name for name in UNSUPPORTED if not UNSUPPORTED[name].strip()} == set()
    assert not set(UNSUPPORTED) & {f"object-store-{field.name.replace('_', '-')}" for field in fields(StoreOptions)}


def test_secrets_are_in_no_printed_options() -> None:
    """O3."""
    secret = replace(S3, aws_session_token="token-value", azure_storage_access_key="key-value", aws_secret_access_key="hush")

    for word in ("hush", "token-value", "key-value", "'id'"):
        assert word not in repr(secret)


def test_a_changed_credentials_file_is_read_again_and_a_broken_one_is_not_believed(tmp_path: Path) -> None:
    """O4."""
    file = tmp_path / "aws.json"
    file.write_text(json.dumps({"aws_access_key_id": "k1", "aws_secret_access_key": "s1"}))
    credentials = AwsCredentialsFile(file)
    first = credentials()
    os.replace(
        write(tmp_path / "next", {"aws_access_key_id": "k2", "aws_secret_access_key": "s2", "aws_session_token": "t"}), file
    )
    second = credentials()
    file.write_text('{"aws_access_key_id": "k3"')
    third = credentials()
    file.unlink()
    fourth = credentials()

    assert (first["access_key_id"], first["secret_access_key"], first["token"]) == ("k1", "s1", None)
    assert (second["access_key_id"], second["secret_access_key"], second["token"]) == ("k2", "s2", "t")
    assert (third["access_key_id"], fourth["access_key_id"]) == ("k2", "k2")


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"aws_access_key_id": "hush"}'])
def test_a_credentials_file_that_was_never_readable_is_named_without_its_contents(tmp_path: Path, text: str | None) -> None:
    """O3, O4."""
    if text is not None:
        (tmp_path / "aws.json").write_text(text)

    with pytest.raises(ValueError, match=r"aws\.json is not a readable AWS credentials file") as refused:
        AwsCredentialsFile(tmp_path / "aws.json")()

    assert "hush" not in str(refused.value)


def test_a_data_directory_in_place_of_a_file_is_told_at_open(tmp_path: Path) -> None:
    """O1."""
    (tmp_path / "data").write_bytes(b"")

    with pytest.raises(StoreUnfit, match="data: a file is there"):
        open_store(StoreOptions("file", data_dir=tmp_path / "data"))


def write(path: Path, value: Mapping[str, object]) -> Path:
    path.write_text(json.dumps(value))
    return path
