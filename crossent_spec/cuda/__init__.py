"""The losses on NVIDIA GPUs: Numba kernels behind the public functions.

Nothing here is imported before an array on a GPU, or ``backend="cuda"``, asks for it.
"""
