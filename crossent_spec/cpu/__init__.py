"""Numba kernels: the formulas in fast form.  Imported at the first call that needs them."""
