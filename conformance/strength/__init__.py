"""How strong the suite is: seeded faults that it must find, correct variants that it must pass.

:mod:`.reference` is a small framework written for the purpose, without a line of
``crossent_spec``.  A fault, or a correct variant, is a subclass that overrides one of its seams.
"""
