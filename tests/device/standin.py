"""Load the stand-in for two CUDA devices: import this before torch, or `pytest -p` it.

Tensors are those of cuda:0 and cuda:1 for torch, its dispatch, autograd, autocast and generators;
devices that do not fit, and operators that CUDA does not have, are refused. Kernels are the CPU's
and generators draw what the CPU's draw, so that results are equal to the CPU's bit for bit.
There is one stream, no triton, and nothing runs ahead of the host."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from tests.device import build

if "torch" in sys.modules:
    raise ImportError("tests.device.standin must be imported before torch")
for _name in ("libgomp.so.1", "libc10.so", "libtorch_cpu.so"):
    if (_file := build.torch_folder() / "lib" / _name).exists():
        ctypes.CDLL(str(_file), mode=ctypes.RTLD_GLOBAL)
_library = ctypes.CDLL(str(build.library()), mode=ctypes.RTLD_GLOBAL)
_library.standin_held.restype = _library.standin_peak.restype = ctypes.c_int64

import torch  # noqa: E402

NAME = "a stand-in for CUDA"
_Listener = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int64)
_heard: Any = _Listener(0)


def listen(call: Callable[[str, str, int], None] | None) -> None:
    """Call with kind, operator and bytes of every wait and transfer from now on; None ends it."""
    global _heard  # It must outlive the listening.
    _heard = _Listener(0 if call is None else lambda k, o, size: call(k.decode(), o.decode(), size))
    _library.standin_listen(_heard)


def _index(device: Any = None, **_: Any) -> int:
    """The number of a card, the current one unless it is named."""
    index = device if isinstance(device, int) else torch.device(device or "cuda").index
    if index is None or index < 0:
        return int(_library.standin_current())
    if index >= _library.standin_cards():
        raise RuntimeError("CUDA error: invalid device ordinal")
    return index


def _exchange(index: int) -> int:
    before = int(_library.standin_current())
    if index >= 0:
        _library.standin_use(_index(index))
    return before


class _Stream:
    """The one stream of a card, and the events in it, which have all happened."""

    cuda_stream = stream_id = device_index = 0

    def __init__(self, device: Any = None, **_: Any) -> None:
        self.device = torch.device("cuda", _index(device))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *_: self

    def query(self) -> bool:
        return True

    def elapsed_time(self, _: Any) -> float:
        return 1.0

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: Any) -> None:
        pass


PROPERTIES = SimpleNamespace(
    name=NAME,
    major=8,
    minor=0,
    total_memory=2**34,
    multi_processor_count=108,
    max_threads_per_multi_processor=2048,
    regs_per_multiprocessor=65536,
    warp_size=32,
    gcnArchName="",
)


def _functions() -> dict[str, Any]:
    """What torch.cuda must answer; torch._dynamo wants a function of its own for every name."""
    held, peak = _library.standin_held, _library.standin_peak
    yes = ("is_available", "is_initialized", "_is_compiled", "is_bf16_supported")
    no = ("_is_in_bad_fork", "is_current_stream_capturing")
    nothing = ("_lazy_init", "init", "synchronize", "empty_cache", "ipc_collect", "set_stream")
    return {
        **{name: _always(True) for name in yes},
        **{name: _always(False) for name in no},
        **{name: _always(None) for name in nothing},
        "_initialized": True,
        "_lazy_call": lambda call, **_: call(),
        "_get_device_index": _index,
        "_exchange_device": lambda index: _exchange(index),
        "_maybe_exchange_device": lambda index: _exchange(index),
        "set_device": lambda device: _exchange(_index(device)) and None,
        "current_device": lambda: int(_library.standin_current()),
        "device_count": lambda: int(_library.standin_cards()),
        "get_device_properties": lambda device=None: (_index(device), PROPERTIES)[1],
        "get_device_name": lambda device=None: NAME,
        "get_device_capability": lambda device=None: (PROPERTIES.major, PROPERTIES.minor),
        "mem_get_info": lambda device=None: (2**33, 2**34),
        "memory_allocated": lambda device=None: held(_index(device)),
        "memory_reserved": lambda device=None: held(_index(device)),
        "max_memory_allocated": lambda device=None: peak(_index(device)),
        "max_memory_reserved": lambda device=None: peak(_index(device)),
        "reset_peak_memory_stats": lambda device=None: _library.standin_forget_peak(_index(device)),
        "Stream": _Stream,
        "Event": type("_Event", (_Stream,), {}),
        "current_stream": lambda device=None: _Stream(device),
        "default_stream": lambda device=None: _Stream(device),
        "stream": lambda stream: contextlib.nullcontext(),
    }


def _always(answer: bool | None) -> Callable[..., bool | None]:
    return lambda *_, **__: answer


def _install() -> None:
    functions = _functions()
    vars(torch.cuda).update(functions)
    for module in (torch.cuda.random, torch.cuda.memory, torch.cuda.graphs):
        vars(module).update({k: v for k, v in functions.items() if k in vars(module)})
    torch._C._cuda_getDeviceCount = lambda: int(_library.standin_cards())
    torch._C._cuda_isInBadFork = _always(False)
    torch._C._cuda_getDevice = lambda: int(_library.standin_current())
    torch._C._cuda_setDevice = lambda index: _exchange(index) and None
    torch._C._cuda_getCurrentRawStream = lambda index: 0
    torch.cuda.default_generators = tuple(
        torch.Generator(f"cuda:{index}") for index in range(_library.standin_cards())
    )
    for index, generator in enumerate(torch.cuda.default_generators):
        _library.standin_draw_from(index, ctypes.c_void_p(generator._cdata))
    torch.UntypedStorage.__new__ = _storage(torch.UntypedStorage.__new__)


def _storage(on_cpu: Callable[..., Any]) -> Callable[..., Any]:
    """Storages of a card, which a CPU build cannot make by itself, are those of tensors."""

    def new(kind: type, *args: Any, device: Any = None, **options: Any) -> Any:
        if device is None or torch.device(device).type != "cuda":
            return on_cpu(kind, *args, **options | ({} if device is None else {"device": device}))
        size = args[0] if args else 0
        return torch.empty(size, dtype=torch.uint8, device=device).untyped_storage()

    return new


_install()


def pytest_configure() -> None:
    """Inductor finds no triton: what it would compile is run as it was traced."""
    import torch._inductor

    torch._inductor.compile = lambda graph, inputs, options=None: graph
