"""In which precision matrix products are computed. Importing it imports no torch."""

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import torch

Precision: TypeAlias = Literal["float32", "bfloat16"]
PrecisionChoice: TypeAlias = Literal["auto", "float32", "bfloat16"]

_CPU_UNITS = ("avx512_bf16", "amx_bf16", "bf16")  # the last is that of ARM


def fast_precision(device: "str | torch.device") -> Precision:
    """bfloat16 if the device has hardware units for its matrix products, else float32.

    Without such units bfloat16 is emulated: siglip-pico then trained at 15 pairs per second instead of 240, on two
    cores with AVX2.
    """
    import torch

    if torch.device(device).type == "cuda":
        has_units = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        units = torch.cpu.get_capabilities()
        has_units = any(units.get(name) for name in _CPU_UNITS)
    return "bfloat16" if has_units else "float32"


def forbid_tf32() -> None:
    """From now on, this process computes products of float32 numbers in float32, whatever its environment asks for.

    TF32 keeps 10 bits of each factor, and so does not give float32 vectors.
    """
    import torch

    torch.set_float32_matmul_precision("highest")
