"""`--precision auto`: the table's own precision, and for a new table the one that the hardware computes fast."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipeline import encoder, table
from pipeline.embedding import plan
from pipeline.embedding.plan import EmbedOptions, EmbedPlan
from pipeline.errors import IdentityError
from siglip_core.precision import Precision, fast_precision
from tests.embedding import embed
from tests.processes import Siglane
from tests.samples import write_photos

OTHER: dict[Precision, Precision] = {"float32": "bfloat16", "bfloat16": "float32"}


def planned(folder: Path, model: Path, fast: Precision | None = None, **more: object) -> EmbedPlan:
    options = {"input": str(folder / "in"), "table": str(folder / "t"), "model": str(model), **more}
    parsed = EmbedOptions.model_validate(options)
    return plan.plan(parsed) if fast is None else plan.plan(parsed, lambda: fast)


@pytest.mark.parametrize(("units", "precision"), [("avx512_bf16", "bfloat16"), ("avx512_f", "float32")])
def test_a_new_table_gets_the_precision_that_this_machine_computes_fast(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, units: str, precision: str
) -> None:
    write_photos(tmp_path / "in", 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {units: True})
    assert planned(tmp_path, model).embed.identity.precision == precision


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_table_is_continued_in_its_own_precision(tmp_path: Path, model: Path, precision: Precision) -> None:
    write_photos(tmp_path / "in", 2)
    embed(tmp_path / "in", tmp_path / "t", model, precision=precision)
    write_photos(tmp_path / "in", 3)
    assert planned(tmp_path, model, OTHER[precision]).embed.identity.precision == precision
    assert embed(tmp_path / "in", tmp_path / "t", model, precision="auto") == {("success", None): 1}
    assert table.open_table(table.parse(str(tmp_path / "t"))).identity.precision == precision
    with pytest.raises(IdentityError, match=rf"precision {precision} .* precision {OTHER[precision]}"):
        planned(tmp_path, model, precision=OTHER[precision])


def test_a_precision_that_is_asked_for_is_used_whatever_is_fast(tmp_path: Path, model: Path) -> None:
    write_photos(tmp_path / "in", 1)
    for precision in OTHER:
        assert planned(tmp_path, model, OTHER[precision], precision=precision).embed.identity.precision == precision


def test_the_command_says_the_precision_and_why(tmp_path: Path, model: Path, siglane: Siglane) -> None:
    write_photos(tmp_path / "in", 1)
    run = ("embed", "--input", "in", "--table", "t", "--model", model, "--local")
    fast = fast_precision("cuda" if torch.cuda.is_available() else "cpu")
    assert siglane(*run)["precision"] == fast
    assert siglane(*run, "--table", "u", "--precision", OTHER[fast])["precision"] == OTHER[fast]
    assert siglane(*run, "--table", "u")["precision"] == OTHER[fast]


def test_products_of_float32_numbers_are_never_tf32(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        encoder.load_same(str(model), encoder.identify(str(model), "float32"))
        assert torch.get_float32_matmul_precision() == "highest"
    finally:
        torch.set_float32_matmul_precision(before)
