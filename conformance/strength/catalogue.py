"""Every fault and every correct variant, by name."""

from __future__ import annotations

from functools import cache
from types import ModuleType

from . import roundings, variants
from .faults import (
    axes,
    blocks,
    conditions,
    denominators,
    gradients,
    linear,
    maxima,
    precision,
    raising,
    ranges,
    scaled,
    smoothing,
    special,
    state,
    targets,
    unit,
    unseen,
)
from .measure import name_of
from .reference import Reference

THEMES = (
    denominators,
    smoothing,
    targets,
    axes,
    blocks,
    maxima,
    precision,
    scaled,
    gradients,
    state,
    linear,
    unit,
    special,
    ranges,
    raising,
    conditions,
    unseen,
)


def _defined_in(module: ModuleType) -> list[type[Reference]]:
    return [
        found
        for found in vars(module).values()
        if isinstance(found, type)
        and issubclass(found, Reference)
        and found.__module__ == module.__name__
        and not found.__name__.startswith("_")
    ]


@cache
def faults() -> dict[str, type[Reference]]:
    """Return every seeded fault by its name, theme after theme."""
    return {name_of(found): found for theme in THEMES for found in _defined_in(theme)}


@cache
def correct() -> dict[str, type[Reference]]:
    """Return the reference and its correct variants by name."""
    both = [*_defined_in(variants), *_defined_in(roundings)]
    found = {name_of(variant): variant for variant in both}
    return {name_of(Reference): Reference, **found}


def find(name: str) -> type[Reference]:
    """Return a fault or a variant by its name.

    Raises
    ------
    LookupError
        There is none.
    """
    known = {**correct(), **faults()}
    if name not in known:
        raise LookupError(f"no fault and no variant named {name!r}")
    return known[name]


def theme_of(framework: type[Reference]) -> str:
    """Return the theme of a fault; ``correct`` for a variant.

    >>> theme_of(denominators.MeanByAllSamples)
    'denominators'
    """
    name = framework.__module__.rpartition(".")[2]
    return name if framework.__module__.split(".")[-2] == "faults" else "correct"


def description(framework: type[Reference]) -> str:
    """Return what a fault does wrong, or how a variant works, in a line."""
    return (framework.__doc__ or "").strip().split("\n")[0]
