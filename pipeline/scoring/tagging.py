"""Computes columns from stored image vectors only: the best of some labels, or the value of a linear head."""

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
    """Labels and their vectors, float32 [K, D], unit length."""

    column: str
    names: Sequence[str]
    vectors: Float32
    logit_scale: float
    logit_bias: float

    @property
    def columns(self) -> pa.Schema:
        return pa.schema([(self.column, pa.string()), (f"{self.column}_probability", pa.float32())])

    def __call__(self, image_ND: npt.NDArray[np.floating]) -> dict[str, pa.Array]:
        """The most probable label of each image, and its probability. Of equal labels, the first."""
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
    """Fills the columns in the rows that lack them, or in `every` row. Yields the number of rows of each commit.

    Raises:
        UsageError: the column's name is invalid, or reserved by the table's contract.
        TableError: the table has such a column with another type.
    """
    for name in tagger.columns.names:
        if not schema.is_free_name(name):
            raise UsageError(
                f"column {name!r}: a new column cannot have this name; choose another, of letters, digits and _"
            )
    add_columns(uri, tagger.columns)
    where = f"{EMBEDDED} AND {schema.IMAGE_VECTOR} IS NOT NULL"
    where += "" if every else f" AND {tagger.column} IS NULL"
    read = [schema.IMAGE_VECTOR]
    return fill_columns(uri, f"tag {tagger.column}", read, where, lambda b: tagger(to_numpy(b[schema.IMAGE_VECTOR])))


def read_labels(table: Table, file: Path, templates: Sequence[str], column: str, model: str | None) -> Labels:
    """Reads labels, one per line, and encodes them with the table's model: the mean over the templates' vectors.

    Raises:
        InputError: the file cannot be read, contains no label, or contains a label twice.
        UsageError: a template has no `{}` for the label.
        SiglaneError: the model cannot be loaded, or is not the one that made the table.
    """
    for template in templates:
        if "{}" not in template:
            raise UsageError(f"template {template!r}: it has no {{}}; write {{}} where the label goes")
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"labels {file}: cannot be read: {error}; give a text file with one label per line") from error
    names = [line.strip() for line in lines if line.strip()]
    if not names or len(set(names)) < len(names):
        raise InputError(
            f"labels {file}: {'a label occurs twice' if names else 'no label'}; write each label once, one per line"
        )
    identity = table.identity
    loaded = encoder.load_same(model or identity.model, identity)
    means = [loaded.encode_text([template.replace("{}", name) for template in templates]).mean(0) for name in names]
    found = np.stack([mean.numpy() for mean in means])
    return Labels(column, names, found, identity.logit_scale, identity.logit_bias)


def read_head(table: Table, file: Path, column: str) -> Head:
    """Reads a linear head with one output: tensor `weight` ([D] or [1, D]) and, optionally, `bias`.

    Raises:
        InputError: the file cannot be read, or contains other tensors.
    """
    try:
        tensors = {name: tensor.float().numpy() for name, tensor in load_file(file).items()}
    except (OSError, SafetensorError) as error:
        raise InputError(f"head {file}: cannot be read: {error}; give a safetensors file") from error
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    dimension = table.dimension
    weight, bias = tensors.get("weight"), tensors.get("bias", np.zeros(1))
    is_one_row = weight is not None and weight.shape in ((dimension,), (1, dimension))
    if not is_one_row or bias.size != 1 or not set(tensors) <= {"weight", "bias"}:
        raise InputError(
            f"head {file}: its tensors are {shapes}; for vectors of {dimension} numbers, give weight of shape "
            f"[1, {dimension}] and bias of shape [1]"
        )
    assert weight is not None
    return Head(column, weight.reshape(-1).astype(np.float32), float(bias.reshape(-1)[0]))


def tagger_of(
    uri: TableUri, labels: Path | None, templates: Sequence[str], head: Path | None, column: str, model: str | None
) -> Labels | Head:
    """The tagger for the columns. Give either `labels` or `head`."""
    table = open_table(uri)
    if head is not None:
        return read_head(table, head, column)
    assert labels is not None
    return read_labels(table, labels, templates or (DEFAULT_TEMPLATE,), column, model)
