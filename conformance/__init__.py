"""Conformance suite: judges any framework's cross-entropy against the documented formulas."""
