"""The encoder on this machine's CPU beside transformers, OpenVINO and bare matrix products.

    python -m benchmarks.encoder [ROUNDS] [CASE]

CASE is `B/16-224`, `B/16-224 text`, `L/16-256` or `So400m/14-384`; without it all are measured. All contestants have
the same random weights and take turns, ROUNDS times (5); the table has medians.

    plain         siglip_core.model as it is
    ours          what `encode_image` and `encode_text` run: packed layers where the measurement chooses them
    transformers  SiglipVisionModel and SiglipTextModel, with sdpa, their default; pixels are normalised before
    OpenVINO      our plain model converted by it, in its latency mode, with as many threads as torch
    products      only the matrix products of the blocks' linear layers: by torch, and packed by oneDNN

`pip install '.[bench]'` installs the peers. Cosines are to the plain model in float32; the table has the least.
"""

from __future__ import annotations

import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from importlib.metadata import version
from pathlib import Path

import openvino
import torch
import torch.nn.functional as F
import transformers
from openvino import properties
from torch import Tensor

import siglip_core
from siglip_core import Spec, checkpoint, cpu
from siglip_core.cpu.onednn import Packed
from siglip_core.init import initialise
from siglip_core.model import ImageTower, Siglip, TextTower, normalise

CASES = {
    "B/16-224": ("google/siglip-base-patch16-224", "image", 16),
    "B/16-224 text": ("google/siglip-base-patch16-224", "text", 64),
    "L/16-256": ("google/siglip-large-patch16-256", "image", 4),
    "So400m/14-384": ("google/siglip-so400m-patch14-384", "image", 1),
}
DTYPES = (torch.float32, torch.bfloat16)
PRODUCTS = ("products, torch", "products, oneDNN")

Call = Callable[[], Tensor]


def contestants(spec: Spec, kind: str, count: int) -> Iterator[tuple[str, torch.dtype, Call]]:
    """(name, dtype, what runs it once). Embeddings are [count, E], not normalised."""
    model = initialise(Siglip(spec), seed=0).eval().requires_grad_(False)
    tower = model.image if kind == "image" else model.text
    inputs = inputs_of(spec, kind, count)
    for dtype in DTYPES:
        plain = deepcopy(tower).to(dtype)
        yield "plain", dtype, lambda plain=plain: plain(inputs)
        chosen = deepcopy(plain)
        cpu.speed_up(chosen)
        ours = cpu.Running(chosen, may_pack=False)
        yield "ours", dtype, lambda ours=ours: ours(inputs)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(model, Path(folder))
        del model
        for dtype in DTYPES:
            yield "transformers", dtype, of_transformers(Path(folder), kind, inputs, dtype)
    converted = openvino.convert_model(tower, example_input=inputs)
    for dtype in DTYPES:
        yield "OpenVINO", dtype, of_openvino(converted, inputs, dtype)
    for dtype in DTYPES:
        yield from products(spec, kind, count, dtype)


def inputs_of(spec: Spec, kind: str, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    if kind == "text":
        return torch.randint(0, spec.vocab_size, (count, spec.text_length), generator=generator)
    side = spec.preprocessing.resolution
    return torch.randint(0, 256, (count, side, side, 3), generator=generator, dtype=torch.uint8)


def of_transformers(folder: Path, kind: str, inputs: Tensor, dtype: torch.dtype) -> Call:
    which = transformers.SiglipVisionModel if kind == "image" else transformers.SiglipTextModel
    peer = which.from_pretrained(folder, dtype=dtype).eval()
    given = normalise(inputs, dtype).permute(0, 3, 1, 2).contiguous() if kind == "image" else inputs
    return lambda: peer(given).pooler_output


def of_openvino(converted: openvino.Model, inputs: Tensor, dtype: torch.dtype) -> Call:
    precision = openvino.Type.f32 if dtype == torch.float32 else openvino.Type.bf16
    config = {
        properties.hint.inference_precision: precision,
        properties.hint.performance_mode: properties.hint.PerformanceMode.LATENCY,
        properties.inference_num_threads: torch.get_num_threads(),
    }
    request = openvino.Core().compile_model(converted, "CPU", config).create_infer_request()
    given = inputs.numpy()
    return lambda: torch.from_numpy(request.infer([given])[0])


def products(spec: Spec, kind: str, count: int, dtype: torch.dtype) -> Iterator[tuple[str, torch.dtype, Call]]:
    """Of one block's linear layers, as often as there are blocks, in parts as `cpu.Running` has them."""
    tower: ImageTower | TextTower
    with torch.device("meta"):
        tower = ImageTower(spec.vision) if kind == "image" else TextTower(spec.text)
    sizes = spec.vision if kind == "image" else spec.text
    at_once, length = cpu.inputs_at_once(tower), len(tower.position_embedding)
    parts = [min(at_once, count - start) * length for start in range(0, count, at_once)]
    D, H = sizes.width, sizes.mlp
    weights = [torch.randn(rows, columns).to(dtype) for rows, columns in ((3 * D, D), (D, D), (H, D), (D, H))]
    packed = [Packed(weight, torch.zeros(len(weight), dtype=dtype), parts[0]) for weight in weights]
    x = {columns: torch.randn(max(parts), columns).to(dtype) for columns in (D, H)}

    def run(multiply: Callable[[int, Tensor], Tensor]) -> Tensor:
        for _ in range(sizes.depth):
            for rows in parts:
                for place, weight in enumerate(weights):
                    y = multiply(place, x[weight.shape[1]][:rows])
        return y

    yield PRODUCTS[0], dtype, lambda: run(lambda place, given: F.linear(given, weights[place]))
    yield PRODUCTS[1], dtype, lambda: run(lambda place, given: packed[place](given))


def measure(case: str, rounds: int) -> None:
    name, kind, count = CASES[case]
    calls = {(name, dtype): call for name, dtype, call in contestants(siglip_core.spec(name), kind, count)}
    first = {key: timed(call)[0] for key, call in calls.items()}
    truth = first["plain", torch.float32]
    taken: dict[tuple[str, torch.dtype], list[float]] = {key: [] for key in calls}
    for _ in range(rounds):
        for key, call in calls.items():
            taken[key].append(timed(call)[1])
    rates = {key: count / statistics.median(seconds) for key, seconds in taken.items()}
    print(f"\n**{case}**, {count} {kind}s at once, {rounds} rounds\n")
    print(f"| | {kind}s/s | / transformers float32 | / OpenVINO | / products, oneDNN | least cosine |")
    print("|---|---|---|---|---|---|")
    for (contestant, dtype), rate in rates.items():
        of = (("transformers", torch.float32), ("OpenVINO", dtype), ("products, oneDNN", dtype))
        ratios = " | ".join(f"{rate / rates[other]:.2f}" for other in of)
        cosine = (
            F.cosine_similarity(first[contestant, dtype].float(), truth).min().item()
            if contestant not in PRODUCTS
            else None
        )
        shown = "" if cosine is None else f"{cosine:.6f}"
        print(f"| {contestant}, {str(dtype).removeprefix('torch.')} | {rate:.2f} | {ratios} | {shown} |", flush=True)


@torch.inference_mode()
def timed(call: Call) -> tuple[Tensor, float]:
    started = time.perf_counter()
    return call(), time.perf_counter() - started


def machine() -> str:
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    named = {name.strip(): value.strip() for name, value in fields.items()}
    model = (
        f"{named.get('model name', platform.processor())}, family {named.get('cpu family')} model {named.get('model')}"
    )
    units = ", ".join(
        unit for unit in ("avx2", "avx512_f", "avx512_bf16", "amx_bf16") if torch.cpu.get_capabilities().get(unit)
    )
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "openvino"))
    return f"{model} ({units}), {torch.get_num_threads()} threads; {libraries}"


def main(rounds: int = 5, case: str | None = None) -> None:
    print(machine())
    for name in CASES if case is None else (case,):
        measure(name, rounds)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), *sys.argv[2:3])
