"""The peers of `benchmarks.job`: the same job as their own documentation writes it, with transformers' SiglipModel.

    python -m benchmarks.job_peers ray|daft INPUT OUTPUT MODEL PRECISION

Ray Data's recipe is that of its guide to batch inference on images: read, decode in tasks, a class with the model in an
actor, write. Daft's is that of its guide to `@daft.cls`: its own decoding and resizing, a batch method with the model,
write. Both write Parquet. For Ray Data the image is resized by Pillow's bicubic filter, for Daft by Daft. Daft is no
dependency of this project: `pip install daft`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

BATCH = 64


class Towers:
    """Both towers of a checkpoint by transformers: uint8 [B, S, S, 3] and B texts to unit vectors, float32 [B, D]."""

    def __init__(self, model: str, precision: str) -> None:
        import torch
        from transformers import SiglipModel, SiglipTokenizer

        self._torch = torch
        self._model = SiglipModel.from_pretrained(model, dtype=getattr(torch, precision)).eval()
        self._tokenizer = SiglipTokenizer(str(Path(model) / "spiece.model"))
        self._length = self._model.config.text_config.max_position_embeddings

    def __call__(self, pixels: npt.NDArray[np.uint8], texts: list[str]) -> tuple[Any, Any]:
        torch = self._torch
        with torch.inference_mode():
            images = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self._model.dtype) / 127.5 - 1
            encoded = self._tokenizer(
                texts, padding="max_length", max_length=self._length, truncation=True, return_tensors="pt"
            )
            image = self._model.get_image_features(pixel_values=images).pooler_output.float()
            text = self._model.get_text_features(input_ids=encoded["input_ids"]).pooler_output.float()
            unit = torch.nn.functional.normalize
            return unit(image, dim=-1).numpy(), unit(text, dim=-1).numpy()


def side(model: str) -> int:
    """The resolution of the model's images."""
    import json

    config = json.loads((Path(model) / "config.json").read_text())
    return int(config["vision_config"]["image_size"])


class _Embed:
    """`Towers` on the batches of Ray Data."""

    def __init__(self, model: str, precision: str) -> None:
        import torch

        torch.set_num_threads(2)  # as our encoders on CPUs
        self._towers = Towers(model, precision)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        image, text = self._towers(np.stack(list(batch["pixels"])), list(batch["caption"]))
        return {"caption": batch["caption"], "image_vector": image, "text_vector": text}


def with_ray(source: str, output: str, model: str, precision: str) -> None:
    import io

    import ray
    from PIL import Image

    size = side(model)

    def decode(row: dict[str, Any]) -> dict[str, Any]:
        image = Image.open(io.BytesIO(row["image"])).convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
        return {"pixels": np.asarray(image), "caption": row["caption"]}

    ray.init("local", include_dashboard=False)
    (
        ray.data.read_parquet(source)
        .map(decode)
        .map_batches(
            _Embed,
            fn_constructor_args=(model, precision),
            batch_size=BATCH,
            compute=ray.data.ActorPoolStrategy(size=1),
            num_cpus=0.5,  # on two cores, one of them is left to decode
        )
        .write_parquet(output)
    )


def with_daft(source: str, output: str, model: str, precision: str) -> None:
    import daft
    import pyarrow as pa
    from daft import DataType, col
    from daft.functions import decode_image, resize, unnest

    size = side(model)

    @daft.cls(max_concurrency=1)  # type: ignore[untyped-decorator]
    class Embed:
        def __init__(self) -> None:
            self.towers = Towers(model, precision)
            self.dimension = self.towers._model.config.vision_config.hidden_size

        @daft.method.batch(  # type: ignore[untyped-decorator]
            return_dtype=DataType.struct(
                {"image_vector": DataType.list(DataType.float32()), "text_vector": DataType.list(DataType.float32())}
            ),
            batch_size=BATCH,
        )
        def embed(self, images: daft.Series, texts: daft.Series) -> pa.Array:
            pixels = images.to_arrow().storage.flatten().to_numpy().reshape(-1, size, size, 3)
            vectors = self.towers(pixels, texts.to_pylist())
            lists = [pa.FixedSizeListArray.from_arrays(each.ravel(), each.shape[1]) for each in vectors]
            lists = [each.cast(pa.list_(pa.float32())) for each in lists]
            return pa.StructArray.from_arrays(lists, ["image_vector", "text_vector"])

    pixels = resize(decode_image(col("image"), mode="RGB"), size, size).cast(DataType.image("RGB", size, size))
    frame = daft.read_parquet(f"{source}/*.parquet").select(pixels.alias("pixels"), "caption")
    frame = frame.select("caption", Embed().embed(col("pixels"), col("caption")).alias("vectors"))
    frame.select("caption", unnest(col("vectors"))).write_parquet(output)


if __name__ == "__main__":
    {"ray": with_ray, "daft": with_daft}[sys.argv[1]](*sys.argv[2:])
