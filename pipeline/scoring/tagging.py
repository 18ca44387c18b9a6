"""Columns from stored image vectors alone: the best of some labels, or the value of a linear head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from safetensors import SafetensorError
from safetensors.torch import load_file

from pipeline import encoder, schema
from pipeline.errors import InputError, UsageError
from pipeline.table import EMBEDDED, Table, TableUri, add_columns, fill_columns, open_table
from pipeline.vectors import to_numpy
from siglip_core import similarity

DEFAULT_TEMPLATE = "a photo of {}"

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Labels:
    """Labels, and the vector of each, float32 [K, D], unit length."""

    column: str
    names: Sequence[str]
    vectors: Float32
    logit_scale: float
    logit_bias: float

    @property
    def columns(self) -> pa.Schema:
        return pa.schema([(self.column, pa.string()), (f"{self.column}_probability", pa.float32())])

    def __call__(self, image_ND: npt.NDArray[np.floating]) -> dict[str, pa.Array]:
        """Of each image the most probable label, of equal ones the first, and its probability."""
        cosine_NK = similarity.cosine_block(image_ND, self.vectors)
        best_N = cosine_NK.argmax(1)
        logit_N = similarity.logit(cosine_NK.max(1), self.logit_scale, self.logit_bias)
        label, probability = self.columns.names
        return {
            label: pa.array([self.names[best] for best in best_N], pa.string()),
            probability: pa.array(similarity.probability(logit_N)),
        }


@dataclass(frozen=True)
class Head:
    """weight · vector + bias; weight float32 [D]."""

    column: str
    weight: Float32
    bias: float

    @property
    def columns(self) -> pa.Schema:
        return pa.schema([(self.column, pa.float32())])

    def __call__(self, image_ND: npt.NDArray[np.floating]) -> dict[str, pa.Array]:
        values_N = image_ND.astype(np.float32) @ self.weight + np.float32(self.bias)
        return {self.column: pa.array(values_N, pa.float32())}


def tag_table(uri: TableUri, tagger: Labels | Head, every: bool) -> Iterator[int]:
    """Fills the columns of the rows that lack them, or of `every` row; yields the number of rows of each commit.

    Raises:
        UsageError: the table's contract has a column of that name.
        TableError: the table has such a column of another type.
    """
    for name in tagger.columns.names:
        if not schema.is_free_name(name):
            raise UsageError(f"column {name!r}: not a name for a column of its own; use letters, digits and _")
    add_columns(uri, tagger.columns)
    where = f"{EMBEDDED} AND {schema.IMAGE_VECTOR} IS NOT NULL"
    where += "" if every else f" AND {tagger.column} IS NULL"
    read = [schema.IMAGE_VECTOR]
    return fill_columns(uri, f"tag {tagger.column}", read, where, lambda b: tagger(to_numpy(b[schema.IMAGE_VECTOR])))


def read_labels(table: Table, file: Path, templates: Sequence[str], column: str, model: str | None) -> Labels:
    """The labels of a file, one a line, as the table's own model sees them: the mean of the templates' vectors.

    Raises:
        InputError: the file cannot be read, or holds no label, or one twice.
        UsageError: a template has no place for the label.
        SiglaneError: the model is not here, or not the one that made the table.
    """
    for template in templates:
        if "{}" not in template:
            raise UsageError(f"template {template!r}: has no {{}} for the label")
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"labels {file}: cannot be read: {error}") from error
    names = [line.strip() for line in lines if line.strip()]
    if not names or len(set(names)) < len(names):
        raise InputError(f"labels {file}: {'a label stands there twice' if names else 'no label'}; write one a line")
    identity = table.identity
    loaded = encoder.load_same(model or identity.model, identity)
    means = [loaded.encode_text([template.replace("{}", name) for template in templates]).mean(0) for name in names]
    found = np.stack([mean.numpy() for mean in means])
    return Labels(column, names, found, identity.logit_scale, identity.logit_bias)


def read_head(table: Table, file: Path, column: str) -> Head:
    """A linear head of one output: tensors `weight` ([D] or [1, D]) and, where there is one, `bias`.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    try:
        tensors = {name: tensor.float().numpy() for name, tensor in load_file(file).items()}
    except (OSError, SafetensorError) as error:
        raise InputError(f"head {file}: cannot be read: {error}") from error
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    dimension = table.dimension
    weight, bias = tensors.get("weight"), tensors.get("bias", np.zeros(1))
    is_one_row = weight is not None and weight.shape in ((dimension,), (1, dimension))
    if not is_one_row or bias.size != 1 or not set(tensors) <= {"weight", "bias"}:
        raise InputError(
            f"head {file}: holds {shapes}; give weight of [1, {dimension}] and bias of [1], for vectors of {dimension} "
            "numbers and one value"
        )
    assert weight is not None
    return Head(column, weight.reshape(-1).astype(np.float32), float(bias.reshape(-1)[0]))


def tagger_of(
    uri: TableUri, labels: Path | None, templates: Sequence[str], head: Path | None, column: str, model: str | None
) -> Labels | Head:
    """What fills the columns; of labels and head one is given."""
    table = open_table(uri)
    if head is not None:
        return read_head(table, head, column)
    assert labels is not None
    return read_labels(table, labels, templates or (DEFAULT_TEMPLATE,), column, model)
