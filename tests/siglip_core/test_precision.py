"""Which precision is fast, and that float32 is float32."""

import logging
from pathlib import Path

import pytest
import torch
from siglip_models import model_folder, random_model, spec

import siglip_core
from siglip_core.precision import fast_precision, forbid_tf32


@pytest.fixture(autouse=True)
def _precision_of_products_is_restored() -> object:
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(
    ("unit", "precision"), [("avx512_bf16", "bfloat16"), ("bf16", "bfloat16"), ("avx512_f", "float32")]
)
@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_bfloat16_is_fast_where_there_are_units_for_it(
    monkeypatch: pytest.MonkeyPatch, unit: str, precision: str, device: object
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, unit: True})
    assert fast_precision(device) == precision


@pytest.mark.parametrize(("has_units", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_a_gpu_that_emulates_bfloat16_has_no_units(
    monkeypatch: pytest.MonkeyPatch, has_units: bool, precision: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation or has_units)
    assert fast_precision("cuda") == precision


def test_tf32_is_off_after_it_was_forbidden() -> None:
    torch.set_float32_matmul_precision("high")
    forbid_tf32()
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize(("dtype", "said"), [("float32", True), ("bfloat16", False)])
def test_a_process_that_rounds_float32_products_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, dtype: str, said: bool
) -> None:
    folder = model_folder(tmp_path / "tiny", random_model(spec()), with_tokenizer=False)
    with caplog.at_level(logging.WARNING):
        siglip_core.load(folder, dtype=dtype)
        assert not caplog.records
        torch.set_float32_matmul_precision("high")
        siglip_core.load(folder, dtype=dtype)
    assert ("TF32" in caplog.text) == said
