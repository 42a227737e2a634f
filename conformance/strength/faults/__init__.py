"""Seeded faults, by theme: each a subclass of the reference framework that overrides a seam.

A fault's name is its class's, its description the first line of its docstring, and ``seen``, where
it stands, a public thread about a real fault of the kind.
"""
