"""torch's antialiased resampling of 8-bit images, called without Python's torch.

`import torch` takes 1.2 s and 120 MB of memory, for each process that decodes. Its library alone takes 0.2 s and 55 MB.
The calls here are those of its stable C interface (torch/csrc/stable/c/shim.h). Nothing else of the package uses it.
"""

import ctypes
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Kernel = Literal["bicubic", "bilinear"]

_BUILT_FOR: Final = 2 << 56 | 13 << 48  # torch 2.13: the version whose interface is called
_NAMES: Final = {"darwin": "libtorch_cpu.dylib", "win32": "torch_cpu.dll"}
_OPERATORS: Final[dict[Kernel, bytes]] = {
    "bicubic": b"aten::_upsample_bicubic2d_aa",
    "bilinear": b"aten::_upsample_bilinear2d_aa",
}
_NO_MEMORY: Final = (b"can't allocate memory", b"bad_alloc")

_Handle = ctypes.c_void_p
_Value = ctypes.c_uint64
_Sizes = ctypes.c_int64 * 4
_Stack = _Value * 6


def interpolate(
    pixels: NDArray[np.uint8], size: tuple[int, int], kernel: Kernel, extent: tuple[float, float] | None = None
) -> NDArray[np.uint8]:
    """uint8 [H, W, C] -> [h, w, C], on one thread: `torch.nn.functional.interpolate(…, antialias=True)`.

    `extent`: height and width of the part that becomes the result, in pixels; all of them by default.

    Raises:
        MemoryError: there is no memory for it.
        RuntimeError: torch fails in another way, or cannot be loaded.
    """
    pixels, resized = np.ascontiguousarray(pixels), np.empty((*size, pixels.shape[2]), np.uint8)
    source, target, sizes = _tensor(pixels), _tensor(resized), _list(size)
    # The arguments of the operator: input, size, align_corners, two scales, output.
    stack = _Stack(source, sizes, 0, *_scales(size, extent), target)
    _check(library().torch_call_dispatcher(_OPERATORS[kernel], b"out", stack, _BUILT_FOR))  # takes all handles
    _check(library().aoti_torch_delete_tensor_object(stack[0]))  # what it returns: another handle of the output
    return resized


@cache
def library() -> ctypes.CDLL:
    """torch's library, loaded at the first call.

    Raises:
        RuntimeError: it is not there, or is of a version without these functions.
    """
    found = find_spec("torch")
    if found is None or not found.submodule_search_locations:
        raise RuntimeError("torch is not installed; pip install 'torch>=2.13,<2.14'")
    path = Path(found.submodule_search_locations[0]) / "lib" / _NAMES.get(sys.platform, "libtorch_cpu.so")
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError:  # it needs libraries of CUDA that only torch itself finds
        import torch  # noqa: F401

        loaded = ctypes.CDLL(str(path))
    pointer, number, size = ctypes.c_void_p, ctypes.c_int64, ctypes.c_size_t
    arguments = {
        "aoti_torch_dtype_uint8": [],
        "aoti_torch_device_type_cpu": [],
        "aoti_torch_create_tensor_from_blob": [
            *(pointer, number, _Sizes, _Sizes, number),
            *(ctypes.c_int32, ctypes.c_int32, ctypes.c_int32, ctypes.POINTER(_Handle)),
        ],
        "aoti_torch_delete_tensor_object": [_Handle],
        "torch_new_stable_ivalue": [ctypes.POINTER(ctypes.POINTER(ctypes.c_double))],
        "torch_new_list_reserve_size": [size, ctypes.POINTER(_Handle)],
        "torch_list_push_back": [_Handle, _Value],
        "torch_call_dispatcher": [ctypes.c_char_p, ctypes.c_char_p, _Stack, _Value],
        "torch_exception_get_what_without_backtrace": [],
    }
    try:
        for name, types in arguments.items():
            getattr(loaded, name).argtypes = types
    except AttributeError as error:
        raise RuntimeError(f"{path}: {error}; pip install 'torch>=2.13,<2.14'") from error
    loaded.torch_exception_get_what_without_backtrace.restype = ctypes.c_char_p
    return loaded


def _tensor(pixels: NDArray[np.uint8]) -> int:
    """A tensor [1, C, H, W], channels last, on the memory of an array [H, W, C]."""
    height, width, channels = pixels.shape
    sizes, strides = (1, channels, height, width), (pixels.size, 1, width * channels, channels)
    torch, handle = library(), _Handle()
    dtype, device = torch.aoti_torch_dtype_uint8(), torch.aoti_torch_device_type_cpu()
    made = torch.aoti_torch_create_tensor_from_blob(
        *(pixels.ctypes.data, 4, _Sizes(*sizes), _Sizes(*strides), 0, dtype, device, 0, ctypes.byref(handle))
    )
    _check(made)
    assert handle.value is not None
    return handle.value


def _list(numbers: tuple[int, ...]) -> int:
    handle = _Handle()
    _check(library().torch_new_list_reserve_size(len(numbers), ctypes.byref(handle)))
    for number in numbers:
        _check(library().torch_list_push_back(handle, number))
    assert handle.value is not None
    return handle.value


def _scales(size: tuple[int, int], extent: tuple[float, float] | None) -> tuple[int, int]:
    """Handles of how much larger the result is than the extent, in height and width; 0 for none: by the sizes."""
    if extent is None:
        return 0, 0
    rows, columns = (_number(side / part) for side, part in zip(size, extent, strict=True))
    return rows, columns


def _number(value: float) -> int:
    """An optional number that is there."""
    handle = ctypes.POINTER(ctypes.c_double)()
    _check(library().torch_new_stable_ivalue(ctypes.byref(handle)))
    handle.contents.value = value
    return ctypes.addressof(handle.contents)


def _check(code: int) -> None:
    if code != 0:
        what: bytes = library().torch_exception_get_what_without_backtrace()
        if any(text in what for text in _NO_MEMORY):
            raise MemoryError(what.decode(errors="replace"))
        raise RuntimeError(f"torch cannot resize an image: {what.decode(errors='replace')}")
