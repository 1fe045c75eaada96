"""ONNX Runtime: which device runs the models, and what to do when an environment cannot."""

import importlib.metadata
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar
from functools import cache
from typing import Any, TypeVar

import onnxruntime
from onnxruntime.capi import onnxruntime_inference_collection as sessions

from search.errors import (
    DeviceUnavailable,
    InferenceFailed,
    ModelCorrupt,
    ModelIncomplete,
    OutOfMemory,
    RuntimeConflict,
    SearchError,
)
from search.inference.tokens import translated
from search.settings import ActiveDevice, CudaSettings, Device
from search.system.forks import Unusable, abandon
from search.system.telemetry import telemetry_off
from search.system.terminal import note

Loaded = TypeVar("Loaded")
Provider = str | tuple[str, dict[str, str]]

_log = logging.getLogger("search.inference")
CPU = "CPUExecutionProvider"
_PROVIDERS: dict[ActiveDevice, str] = {"cpu": CPU, "cuda": "CUDAExecutionProvider"}
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu")
_ARENAS = {"same-as-requested": "kSameAsRequested", "next-power-of-two": "kNextPowerOfTwo"}
_KERNELS = {"flash": 1, "memory-efficient": 2, "cudnn": 8, "math": 16}
_NO_MEMORY = (
    "failed to allocate memory",
    "out of memory",
    "alloc_failed",
    "bad_alloc",
    "available memory of",
    "cannot allocate memory",  # the system's, where a file is mapped
)  # in ONNX Runtime's messages
_OF_ANOTHER_TYPE = (ValueError, TypeError, LookupError, AttributeError, OverflowError)  # what such values in a file cause
_LONGEST_CAUSE = 500  # characters of what a library says, which may quote a file
_MEND = "python -m pip uninstall -y onnxruntime onnxruntime-gpu fastembed fastembed-gpu, then install one of the extras cpu and gpu"

if telemetry_off():  # where the environment came too late, since a program imported ONNX Runtime before this package
    onnxruntime.disable_telemetry_events()

_printed_cause: ContextVar[str] = ContextVar("printed_cause", default="")  # why ONNX Runtime last fell back to another provider


def _print(*lines: object) -> None:
    """On stderr: ONNX Runtime's Python part prints errors on stdout, where the command and `search mcp` answer."""
    note(*lines)
    for line in lines:
        if str(line).startswith("EP Error "):
            _printed_cause.set(str(line))


vars(sessions)["print"] = _print


def installed_runtimes() -> list[str]:
    """Which of the two ONNX runtime distributions this environment holds."""
    return [name for name in _RUNTIMES if any(importlib.metadata.distributions(name=name))]


def available_providers() -> list[str]:
    """The execution providers this ONNX Runtime was built with."""
    providers: list[str] = onnxruntime.get_available_providers()
    return providers


def check_runtimes() -> None:
    """Refuse an environment in which two runtimes overwrote each other's files: RuntimeConflict, with what mends it."""
    if len(runtimes := installed_runtimes()) > 1:
        raise RuntimeConflict(f"both {' and '.join(runtimes)} are installed and overwrite each other's files: {_MEND}")


def load_on(
    device: Device, load: Callable[[Provider], Loaded], session_of: Callable[[Loaded], Any], cuda: CudaSettings | None = None
) -> tuple[Loaded, ActiveDevice]:
    """Load a model on the wanted device and make sure that it is there.

    Args:
        device: "auto" takes CUDA where it works, else the CPU; "cuda" takes nothing else.
        load: gets an execution provider, with its options where it has some, and gives the model.
        session_of: gives the ONNX Runtime session of a loaded model, None if it has none and runs on the CPU.
        cuda: how the GPU is used.

    Raises:
        DeviceUnavailable: the device is "cuda", and the session does not run there.
        RuntimeConflict: see `check_runtimes`.
        Exception: what `load` raises where the device is not at fault; its context is why CUDA failed, if that failed before.
    """
    check_runtimes()
    available = available_providers()
    if device == "cpu" or (device == "auto" and _PROVIDERS["cuda"] not in available):
        return load(_PROVIDERS["cpu"]), "cpu"
    if _PROVIDERS["cuda"] not in available:
        message = f"device is cuda, but this ONNX Runtime has {', '.join(available)}; install the extra gpu, or set device to cpu"
        raise DeviceUnavailable(message)
    onnxruntime.preload_dlls()  # where the extra gpu put them; a system's own are found without
    _printed_cause.set("")
    try:
        model = load((_PROVIDERS["cuda"], cuda_options(cuda or CudaSettings())))
        session = session_of(model)
        if session is not None and session.get_providers()[0] == _PROVIDERS["cuda"]:
            return model, "cuda"
    except SearchError:
        raise
    except Exception as error:  # ONNX Runtime raises the same kinds for a driver that fails and for a damaged file
        if device == "cuda" and _no_memory(error):
            raise
        return _without_cuda(device, load, error)  # within the handler: the context of what is raised there
    return _without_cuda(device, load, None)


def _without_cuda(device: Device, load: Callable[[Provider], Loaded], cause: Exception | None) -> tuple[Loaded, ActiveDevice]:
    """As `load_on`, after CUDA failed: "auto" takes the CPU. Without a cause, ONNX Runtime fell back by itself."""
    words = first_line(cause) if cause else _printed_cause.get().partition("\n")[0][:_LONGEST_CAUSE]
    why = f": {words}" if words else ""
    if device == "auto":
        _log.warning("a model runs on the CPU, since ONNX Runtime did not load it on CUDA%s", why)
        return load(_PROVIDERS["cpu"]), "cpu"
    if cause is not None:
        with suppress(DeviceUnavailable):
            load(_PROVIDERS["cpu"])  # which raises what is wrong with the file
    message = f"device is cuda, but ONNX Runtime could not load CUDA and cuDNN{why}; run `search doctor`, or set device to cpu"
    raise DeviceUnavailable(message) from cause


def cuda_options(cuda: CudaSettings) -> dict[str, str]:
    """The settings in ONNX Runtime's words. Matrix products keep the precision they are stored in (no TF32)."""
    options = {"device_id": str(cuda.device), "arena_extend_strategy": _ARENAS[cuda.arena], "use_tf32": "0"}
    if cuda.memory_mib is not None:
        options["gpu_mem_limit"] = str(cuda.memory_mib << 20)
    if cuda.attention != "auto":
        options["sdpa_kernel"] = str(_KERNELS[cuda.attention])
    return options


def at_most_cores(threads: int | None) -> int | None:
    """No more threads than this process has cores: a thousand on two of them take minutes for what is done in a second."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if threads is None or threads <= cores:
        return threads
    _told_of_cores(threads, cores)
    return cores


@cache
def _told_of_cores(threads: int, cores: int) -> None:
    _log.warning("models run in %d threads, as many as there are cores here, and not in %d (SEARCH_THREADS)", cores, threads)


def share_cores(options: onnxruntime.SessionOptions) -> None:
    """Have a session get on with whatever else runs here, first of all with the other model's; see docs/decisions.md, 31."""
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry("session.dynamic_block_base", "4")


def left_to_parent(name: str, model: object) -> Any:
    """What stands in a model's place in a forked child, where the threads that it works with are gone."""
    abandon(model)
    return Unusable(f"the model {name}", InferenceFailed, "load it again, or use a Searcher, which does so by itself")


def loading(name: str, options: Mapping[str, Any] | None = None) -> AbstractContextManager[None]:
    """Translate whatever FastEmbed, tokenizers and ONNX Runtime raise while a model is loaded.

    Args:
        name: what messages call it.
        options: what FastEmbed loads it by, if it does; of a download, messages say what to delete.

    Raises:
        OutOfMemory: the device's memory does not hold the model.
        ModelCorrupt: ONNX Runtime refuses the graph.
        ModelIncomplete: FastEmbed or tokenizers miss something in the folder.
    """

    def failure(error: BaseException) -> SearchError:
        mend = _mend(options) if options else ""
        if isinstance(error, _OF_ANOTHER_TYPE):
            return ModelIncomplete(f"the model {name} cannot be used: {first_line(error)}{mend}")
        if _no_memory(error):
            return OutOfMemory(
                f"the memory does not hold the model {name}; export it as int8 or int4, or give it more (on CUDA: cuda.memory_mib)"
            )
        cause = first_line(error)
        return ModelCorrupt(f"the model {name} cannot be loaded, its file is damaged or of an unknown kind: {cause}{mend}")

    return translated(failure, let_pass=ModuleNotFoundError)  # of an extra


def _mend(options: Mapping[str, Any]) -> str:
    from search.inference.fastembed import mend

    return mend(options)


def running(name: str) -> AbstractContextManager[None]:
    """Translate whatever a model raises while it runs.

    Raises:
        OutOfMemory: the device's memory does not hold the batch.
        InferenceFailed: otherwise, with the first line of the cause.
    """

    def failure(error: BaseException) -> SearchError:
        if _no_memory(error):
            return OutOfMemory(
                f"the memory does not hold a batch for the model {name}; set its batch_tokens lower, or give it more memory"
            )
        return InferenceFailed(f"the model {name} failed: {first_line(error)}")

    return translated(failure)


def _no_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _NO_MEMORY)


def first_line(error: BaseException) -> str:
    """What an error of a library says, as far as a message repeats it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:_LONGEST_CAUSE]
