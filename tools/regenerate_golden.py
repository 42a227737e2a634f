"""Rewrite the golden vectors: the same as ``crossent golden regenerate``."""

from conformance.golden.cli import regenerate

if __name__ == "__main__":
    regenerate()
