"""Search for failures beside the corpus: cases drawn at random and shrunk, relations between calls.

An *example* is a :class:`conformance.case.Case` or a :class:`.relation.Related`; both are
rebuilt from their id.
"""
