"""The losses on NVIDIA GPUs: Numba kernels behind the public functions.

Nothing here is imported before an array on a GPU, or ``backend="cuda"``, asks for it.
"""

from importlib.util import find_spec

# Numba itself brings an older ``numba.cuda``, which does not do.
if find_spec("numba_cuda") is None:
    raise ModuleNotFoundError(
        "cuda: needs the package numba-cuda, which is not installed; "
        "pip install 'crossent-spec[cuda]'",
        name="numba_cuda",
    )
