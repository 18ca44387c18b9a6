"""The options of an import."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.importing.parts import Layout
from pipeline.schema import VectorDtype
from pipeline.sources.records import DEFAULT_KEPT


class ImportOptions(BaseModel):
    """Options of an import."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: str = Field(description="folder, file or pattern of the vectors and their Parquet files")
    table: str = Field(description="DATABASE/NAME of the Lance table; created if it does not exist")
    layout: Layout | None = Field(None, description="clip-retrieval, datacomp or columns; default: from the file names")
    image_vector_col: str | None = Field(
        None, description="column of image vectors, or array of an .npz file (default l14_img)"
    )
    text_vector_col: str | None = Field(
        None, description="column of text vectors, or array of an .npz file (default l14_txt)"
    )
    uid_col: str = Field("uid", description="column of uids; used if a value is 32 hex characters")
    caption_col: str | None = Field(None, description="column of captions; default: caption or text, if present")
    image_id_col: str | None = Field(
        None, description="column whose equal values say that rows show the same image; default: sha256, if present"
    )
    keep_cols: tuple[str, ...] = Field(DEFAULT_KEPT, description="columns to keep, if present")
    model: str | None = Field(None, description="the model that made the vectors; gives scale, bias and text queries")
    logit_scale: float | None = Field(None, gt=0, description="exp(t) of that model, if the model is not available")
    logit_bias: float | None = Field(None, description="b of that model, if the model is not available")
    vector_dtype: VectorDtype = Field("float16", description="float16, or float32 for readers without half floats")

    @model_validator(mode="after")
    def _one_identity(self) -> ImportOptions:
        given = [value is not None for value in (self.logit_scale, self.logit_bias)]
        if any(given) == (self.model is not None) or (any(given) and not all(given)):
            raise ValueError("give --model, or both --logit-scale (exp(t)) and --logit-bias of the model")
        return self
