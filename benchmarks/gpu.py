"""The encoders on a GPU beside the rate of its matrix units, the decoding that feeds them, and the whole job.

    python -m benchmarks.gpu [FILE.json] [DEVICE]

Needs torch, numpy, Pillow and this checkout; no weights are downloaded, the models are random. transformers is measured
beside ours where it is installed, the whole job where Ray and Lance are. What could not be measured says so. Prints one
JSON object; writes it to FILE after each part, because machines with a GPU are lent for minutes. It takes less than
eight minutes: a part that would begin later than that is left out.

Rates are medians of rounds in which the competitors take turns. `share` is the rate of a tower's multiplications over
that of plain products of the same shapes, measured beside it.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import siglip_core
from siglip_core.encoder import Encoder
from siglip_core.init import initialise
from siglip_core.model import Siglip
from siglip_core.preprocess import decode
from siglip_core.variants import Spec

MODELS = {"siglip-base-patch16-224": (64, 256), "siglip-large-patch16-256": (64,), "siglip-so400m-patch14-384": (64,)}
"""the batch sizes of each"""
COMPILED = ("siglip-base-patch16-224", "siglip-so400m-patch14-384")
ROUNDS, SECONDS_A_ROUND = 5, 1.0
SECONDS = 440
"""a part that would begin later is left out"""
SMALL_PART, LARGE_PART = 20, 100
"""seconds that a part may take"""
PHOTOS, JOB_ROWS = 64, 20_000

Call = Callable[[], Any]


def rates(calls: Mapping[str, Call], device: str, work: float) -> dict[str, float]:
    """Medians of `work` per second. The calls take turns; each is first called twice without a clock."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call(), call()
    for _ in range(ROUNDS):
        for name, call in calls.items():
            wait_for(device)
            began, count = time.perf_counter(), 0
            while time.perf_counter() - began < SECONDS_A_ROUND:
                for _ in range(4):  # a wait after each call would be measured with it
                    call()
                wait_for(device)
                count += 4
            found[name].append(count * work / (time.perf_counter() - began))
    return {name: statistics.median(of_call) for name, of_call in found.items()}


def wait_for(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def random_encoder(spec: Spec, device: str, dtype: torch.dtype) -> Encoder:
    state = {name: tensor.detach() for name, tensor in initialise(Siglip(spec), 1).state_dict().items()}
    return Encoder(spec, state, Path(), "exact", device, dtype)


def products(spec: Spec, batch: int, device: str, dtype: torch.dtype) -> tuple[Call, float]:
    """The matrix products of the tower's blocks, without the rest; and their teraflops."""
    rows, width, mlp = batch * spec.vision.tokens, spec.vision.width, spec.vision.mlp
    shapes = [(width, width)] * 4 + [(width, mlp), (mlp, width)]
    given = {size: torch.randn(rows, size, device=device, dtype=dtype) for size in (width, mlp)}
    weights = [torch.randn(out, size, device=device, dtype=dtype) for size, out in shapes]

    @torch.inference_mode()
    def multiply() -> None:
        for weight in weights:
            F.linear(given[weight.shape[1]], weight)

    return multiply, sum(2 * rows * size * out for size, out in shapes) / 1e12


def images_of(spec: Spec, batch: int) -> Tensor:
    size = spec.preprocessing.resolution
    return torch.randint(0, 256, (batch, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def encoder_part(name: str, batch: int, device: str) -> dict[str, Any]:
    """bfloat16: our tower as `embed` calls it, from images in the machine's memory; on images that the device holds;
    and compiled. float32 is measured too, without TF32."""
    spec = siglip_core.spec(name)
    images, dtype = images_of(spec, batch), torch.bfloat16
    encoder = random_encoder(spec, device, dtype)
    exact = random_encoder(spec, device, torch.float32)
    resident = images.to(device)
    tower = random_encoder(
        spec, device, dtype
    ).module.image  # to ask for the module ends the fused layers of its encoder

    calls: dict[str, Call] = {
        "encode_image": lambda: encoder.encode_image(images),
        "encode_image, two threads": from_two_threads(lambda: encoder.encode_image(images)),
        "tower alone": torch.inference_mode()(lambda: tower(resident)),
        "float32": lambda: exact.encode_image(images),
    }
    if name in COMPILED and device != "cpu":
        compiled = torch.compile(tower, mode="reduce-overhead", fullgraph=True)
        calls["tower alone, compiled"] = torch.inference_mode()(lambda: compiled(resident))
    peer = transformers_tower(spec, images, device, dtype)
    if peer is not None:
        calls["transformers, sdpa, bfloat16"] = peer
    multiply, teraflops = products(spec, batch, device, dtype)
    by_call = rates(calls, device, batch)
    matrix = rates({"products": multiply}, device, teraflops)["products"]
    needed = spec.vision.gflops / 1e3
    cosine = F.cosine_similarity(encoder.encode_image(images), exact.encode_image(images))
    return {
        "images_per_second": by_call,
        "matrix_teraflops": matrix,
        "share": {call: rate * needed / matrix for call, rate in by_call.items() if call != "float32"},
        "cosine_to_float32": {"mean": cosine.mean().item(), "least": cosine.min().item()},
        "over_transformers": None
        if peer is None
        else by_call["encode_image, two threads"] / by_call["transformers, sdpa, bfloat16"],
        "peak_gigabytes": torch.cuda.max_memory_allocated() / 1e9 if device != "cpu" else None,
    }


def from_two_threads(call: Call) -> Call:
    """Begins a call in another thread, and waits for the last but one: as an actor on Ray works."""
    pool, running = ThreadPoolExecutor(2), deque[Future[Any]]()

    def begin() -> None:
        running.append(pool.submit(call))
        if len(running) > 2:
            running.popleft().result()

    return begin


def transformers_tower(spec: Spec, images: Tensor, device: str, dtype: torch.dtype) -> Call | None:
    """None where transformers is not installed. It takes normalised pixels, which are made from ours on the device."""
    if importlib.util.find_spec("transformers") is None:
        return None
    from transformers import SiglipVisionConfig, SiglipVisionModel

    vision = spec.vision
    config = SiglipVisionConfig(
        hidden_size=vision.width,
        intermediate_size=vision.mlp,
        num_hidden_layers=vision.depth,
        num_attention_heads=vision.heads,
        image_size=vision.resolution,
        patch_size=vision.patch_size,
    )
    model = SiglipVisionModel._from_config(config, attn_implementation="sdpa").eval().to(device, dtype)

    @torch.inference_mode()
    def encode() -> Tensor:
        pixels = images.to(device).permute(0, 3, 1, 2)
        output = model(pixel_values=(pixels.float() / 127.5 - 1).to(dtype)).pooler_output
        return F.normalize(output.float(), dim=-1).cpu()

    return encode


def text_part(name: str, batch: int, device: str) -> dict[str, Any]:
    spec = siglip_core.spec(name)
    encoder = random_encoder(spec, device, torch.bfloat16)
    shape = (batch, spec.text_length)
    tokens = torch.randint(0, spec.vocab_size, shape, generator=torch.Generator().manual_seed(1))
    return {"texts_per_second": rates({"encode_text": lambda: encoder.encode_text(tokens)}, device, batch)}


def jpegs(width: int, height: int) -> list[bytes]:
    """Smooth noise, which JPEG stores in about as many bytes as a photo."""
    random, found = np.random.default_rng(1), []
    for _ in range(PHOTOS):
        coarse = Image.fromarray(random.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8))
        file = io.BytesIO()
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
        found.append(file.getvalue())
    return found


def numbered(jpeg: bytes, number: int) -> bytes:
    """The same picture in other bytes: with a comment."""
    return jpeg[:2] + b"\xff\xfe\x00\x0a" + number.to_bytes(8, "big") + jpeg[2:]


def decode_all(files: Sequence[bytes], name: str) -> None:
    preprocessing = siglip_core.spec(name).preprocessing
    for file in files:
        decode(file, preprocessing)


def decode_part(name: str) -> dict[str, Any]:
    """Images that one CPU core decodes and resizes in a second, while all cores do so."""
    found, cores = {}, len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(cores) as pool:
        for width, height in ((640, 480), (1600, 1200)):
            files = jpegs(width, height)
            list(pool.map(decode_all, [files[:8]] * cores, [name] * cores))
            began = time.perf_counter()
            list(pool.map(decode_all, [files] * cores * 2, [name] * cores * 2))
            found[f"{width}x{height}"] = 2 * PHOTOS / (time.perf_counter() - began)
    return {"cores": cores, "images_per_second_and_core": found}


def job_part(name: str) -> dict[str, Any]:
    """`siglane embed` of JPEGs of 640x480 with captions, on Ray and without; by its own summary."""
    missing = [
        package for package in ("ray", "lance", "lancedb", "pydantic") if importlib.util.find_spec(package) is None
    ]
    if missing:
        return {"not_measured": f"not installed: {', '.join(missing)}"}
    import pyarrow as pa
    import pyarrow.parquet as pq

    from siglip_core import checkpoint

    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        model, data = Path(folder, "model"), Path(folder, "data")
        checkpoint.save(initialise(Siglip(siglip_core.spec(name)), 1), model)
        files = jpegs(640, 480)
        data.mkdir()
        for part in range(8):
            rows = JOB_ROWS // 8
            images = [numbered(files[row % PHOTOS], row) for row in range(part * rows, (part + 1) * rows)]
            pq.write_table(pa.table({"image": images}), data / f"{part}.parquet", row_group_size=500)
        for place in ([], ["--local"]):
            command = [sys.executable, "-m", "jobs.embed", "--input", str(data), "--model", str(model), "--json"]
            command += ["--table", str(Path(folder, "t" + "".join(place))), "--batch-size", "256", *place]
            try:
                run = subprocess.run(command, capture_output=True, text=True, timeout=LARGE_PART)
            except subprocess.TimeoutExpired:
                found[" ".join(place) or "ray"] = {"not_measured": f"it took more than {LARGE_PART} s"}
                continue
            ok = run.returncode == 0
            found[" ".join(place) or "ray"] = json.loads(run.stdout) if ok else {"not_measured": run.stderr[-1000:]}
    return found


def describe(device: str) -> dict[str, Any]:
    name = torch.cuda.get_device_name() if device != "cpu" else "CPU"
    return {
        "device": name,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cpus": len(os.sched_getaffinity(0)),
        "tf32": torch.backends.cuda.matmul.allow_tf32,
    }


def main(file: str | None = None, device: str = "cuda") -> None:
    if device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("torch finds no GPU here; run this on a machine with one")
    began, results = time.monotonic(), describe(device)
    first = next(iter(MODELS))
    parts: list[tuple[str, int, Callable[[], dict[str, Any]]]] = [
        (f"{name}, batch {batch}", SMALL_PART * 3, lambda name=name, batch=batch: encoder_part(name, batch, device))
        for name, batches in MODELS.items()
        for batch in batches
    ]
    parts += [
        (f"{first}, texts", SMALL_PART, lambda: text_part(first, 256, device)),
        ("decoding", SMALL_PART, lambda: decode_part(first)),
        ("whole job", 2 * LARGE_PART, lambda: job_part(first)),
    ]
    for name, seconds, part in parts:
        if time.monotonic() - began + seconds > SECONDS:
            results[name] = {"not_measured": "the time was over"}
        else:
            started = time.monotonic()
            try:
                results[name] = part()
            except Exception as error:  # noqa: BLE001 - the other parts are measured all the same
                results[name] = {"not_measured": f"{type(error).__name__}: {error}"}
            results[name]["seconds"] = round(time.monotonic() - started, 1)
        if file:
            Path(file).write_text(json.dumps(results, indent=2))
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
