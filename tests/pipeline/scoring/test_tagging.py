"""Labels and linear heads over stored vectors, against the same numbers worked out here."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors.numpy import save_file

import siglip_core
from pipeline import table
from pipeline.errors import InputError, UsageError
from pipeline.scoring import tagging
from tests.embedding import embed
from tests.processes import ROOT
from tests.rows import rows_of
from tests.samples import jpeg, write_parquet
from tests.tables import write_table


@pytest.fixture
def labelled(tmp_path: Path, model: Path) -> Path:
    """A table of five photos, and a file of three labels."""
    write_parquet(tmp_path / "in" / "a.parquet", [jpeg(row) for row in range(5)] + [b"broken"], ["x"] * 6)
    embed(tmp_path / "in", tmp_path / "t", model, vector_dtype="float32")
    (tmp_path / "labels.txt").write_text("a red square\n\ndogs\na beach\n", "utf-8")
    return tmp_path


def label(folder: Path, *templates: str, every: bool = False) -> int:
    uri = table.parse(str(folder / "t"))
    tagger = tagging.tagger_of(uri, folder / "labels.txt", templates, None, "what", None)
    return sum(tagging.tag_table(uri, tagger, every))


def test_the_most_probable_label_of_each_image(labelled: Path, model: Path) -> None:
    assert label(labelled, "a {}", "one {} here") == 5
    loaded = siglip_core.load(model)
    names = ["a red square", "dogs", "a beach"]
    means = np.stack([loaded.encode_text([f"a {name}", f"one {name} here"]).numpy().mean(0) for name in names])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    rows = [row for _, row in sorted(rows_of(labelled / "t").items())]
    for row in rows[:5]:
        logits = loaded.logit_scale * np.array(row["image_vector"]) @ means.T + loaded.logit_bias
        assert row["what"] == names[int(logits.argmax())]
        assert row["what_probability"] == pytest.approx(1 / (1 + np.exp(-logits.max())), rel=1e-4)
    assert (rows[5]["what"], rows[5]["what_probability"]) == (None, None)


def test_only_rows_that_lack_a_label_unless_every_row_is_asked_for(labelled: Path) -> None:
    assert [label(labelled), label(labelled), label(labelled, every=True)] == [5, 0, 5]


def test_labels_and_templates_that_cannot_be_used(labelled: Path) -> None:
    with pytest.raises(UsageError, match="where the label goes"):
        label(labelled, "a photo")
    (labelled / "labels.txt").write_text("dogs\ndogs\n", "utf-8")
    with pytest.raises(InputError, match="a label occurs twice"):
        label(labelled)


def test_a_linear_head_and_one_of_another_size(tmp_path: Path) -> None:
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    path = write_table(tmp_path / "t", vectors, vectors)
    uri = table.parse(str(path))
    save_file({"weight": np.array([[2.0, -1.0]], np.float32), "bias": np.array([0.5], np.float32)}, tmp_path / "h")
    assert sum(tagging.tag_table(uri, tagging.tagger_of(uri, None, (), tmp_path / "h", "quality", None), False)) == 3
    values = [row["quality"] for _, row in sorted(rows_of(path).items())]
    assert values == pytest.approx([2.5, -0.5, 0.9], abs=2e-3)
    save_file({"weight": np.zeros((1, 3), np.float32)}, tmp_path / "h")
    with pytest.raises(InputError, match=r"give weight of shape \[1, 2\]"):
        tagging.tagger_of(uri, None, (), tmp_path / "h", "quality", None)


def test_linear_layers_become_one_head_as_the_documents_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(
        r"```python\n(import torch.*?)```", (ROOT / "docs" / "tagging.md").read_text("utf-8"), re.DOTALL
    )
    torch.manual_seed(0)
    sizes = [(2, 7), (7, 5), (5, 4), (4, 3), (3, 1)]
    layers = [part for size in sizes for part in (torch.nn.Linear(*size), torch.nn.Dropout(0.5))][:-1]
    head = torch.nn.ModuleDict({"scoring_head": torch.nn.Sequential(*layers)}).eval()
    torch.save(head.state_dict(), tmp_path / "aesthetic_predictor_v2_5.pth")
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    path = write_table(tmp_path / "t", np.array([[0.0, 1.0], [0.6, 0.8]]), np.eye(2))
    uri = table.parse(str(path))
    tagger = tagging.tagger_of(uri, None, (), tmp_path / "aesthetic.safetensors", "beauty", None)
    assert sum(tagging.tag_table(uri, tagger, False)) == 2
    rows = [row for _, row in sorted(rows_of(path).items())]
    expected = head["scoring_head"](torch.tensor([row["image_vector"] for row in rows])).flatten().tolist()
    assert [row["beauty"] for row in rows] == pytest.approx(expected, abs=1e-5)


def test_a_head_of_bfloat16(tmp_path: Path) -> None:
    vectors = np.array([[1.0, 0.0], [0.0, 1.0]])
    uri = table.parse(str(write_table(tmp_path / "t", vectors, vectors)))
    weights = {"weight": torch.tensor([[2.0, -1.0]]).bfloat16(), "bias": torch.tensor([0.5]).bfloat16()}
    safetensors.torch.save_file(weights, tmp_path / "h")
    head = tagging.tagger_of(uri, None, (), tmp_path / "h", "quality", None)
    assert isinstance(head, tagging.Head)
    assert (head.weight.tolist(), head.weight.dtype, head.bias) == ([2.0, -1.0], np.float32, 0.5)


def test_a_column_of_the_contract_is_not_filled(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t", np.eye(2), np.eye(2))
    head = tagging.Head("cosine", np.ones(2, np.float32), 0.0)
    with pytest.raises(UsageError, match="column 'cosine': a new column cannot have this name"):
        tagging.tag_table(table.parse(str(path)), head, False)
