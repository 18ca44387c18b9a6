"""Credentials and signatures are shown nowhere."""

import pytest

from pipeline import storage
from pipeline.errors import InputError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://AKIA:abc@bucket/in/x.tar", "s3://bucket/in/x.tar"),
        ("s3://AKIA:a/b+c/@bucket/in", "s3://bucket/in"),
        ("cannot read s3://AKIA:abc@bucket/in: refused", "cannot read s3://bucket/in: refused"),
        ("https://h/x.jpg?X-Amz-Credential=k&X-Amz-Signature=s", "https://h/x.jpg?…"),
        (
            "GET https://h/x.jpg?sig=s#f: 403, url='https://h/y?sig=s'",
            "GET https://h/x.jpg?…: 403, url='https://h/y?…'",
        ),
        ("https://user:word@h/x.jpg", "https://h/x.jpg"),
        ("https://token@h/x.jpg", "https://h/x.jpg"),
        ("az://container@account.dfs.core.windows.net/x?sv=1&sig=2", "az://container@account.dfs.core.windows.net/x?…"),
        ("http://h:8080/a@b.jpg", "http://h:8080/a@b.jpg"),
        ("hf://datasets/o/n@main/x.parquet", "hf://datasets/o/n@main/x.parquet"),
        ("/data/what?.jpg and a:b@c", "/data/what?.jpg and a:b@c"),
        ("<Code>No</Code><AWSAccessKeyId>AKIA</AWSAccessKeyId><StringToSign>x\ny</StringToSign>", "<Code>No</Code>"),
    ],
)
def test_credentials_and_queries_are_cut_out(text: str, shown: str) -> None:
    assert storage.redact(text) == shown


def test_secrets_of_the_environment_are_cut_out_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG")
    monkeypatch.setenv("HF_TOKEN", "test")
    assert storage.redact("the key wJalrXUtnFEMI/K7MDENG of a test") == "the key … of a test"


@pytest.mark.parametrize("uri", ["memory://AKIA:secret/x@bucket/in", "s4://AKIA:secret/x@bucket/in"])
def test_an_address_with_credentials_is_refused_without_showing_them(uri: str) -> None:
    with pytest.raises(InputError) as caught:
        storage.list_files(uri)
    assert "secret" not in str(caught.value)
    assert "AKIA" not in str(caught.value)
