"""Which attention kernel does a model run with on CUDA? ONNX Runtime only prints it, so another process is listened to."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from search.errors import InferenceFailed
from search.settings import CudaSettings
from search.system.interpreter import interpreter

_TIMEOUT_S = 600


def attention_kernels(folder: Path, cuda: CudaSettings) -> list[str]:
    """Load a language model in another process, run it once, and report what it ran with, such as FLASH_ATTENTION.

    Returns:
        The names ONNX Runtime printed, each once; none where it printed none, as on the CPU.

    Raises:
        InferenceFailed: the other process failed or took too long.
    """
    try:
        command = [interpreter(), "-P", "-m", __name__, str(folder), cuda.model_dump_json()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)  # noqa: S603 -- itself
    except (OSError, subprocess.SubprocessError) as error:
        cause = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
        raise InferenceFailed(f"the attention kernel of {folder} could not be found out: {cause}") from error
    return named_in(done.stdout)


def named_in(output: str) -> list[str]:
    """The kernels in what ONNX Runtime prints."""
    return sorted(set(re.findall(r"SdpaKernel=([A-Z_]+)", output)))


def main() -> None:
    """Be the other process."""
    os.putenv("ORT_ENABLE_ATTENTION_KERNEL_DEBUG_INFO", "1")  # read when a session is made
    from search.inference.decoder import Decoder
    from search.models import open_folder
    from search.reranking.recipe import Recipe

    folder, cuda = sys.argv[1:]
    model = open_folder(Path(folder), folder)
    recipe = Recipe.read(model.recipe, folder)
    limits: dict[str, Any] = {"activations": recipe.activations or "fp32", "max_tokens": recipe.max_tokens or 1}
    Decoder(model, **limits, cuda=CudaSettings.model_validate_json(cuda)).warm_up()


if __name__ == "__main__":
    main()
