"""Environments: for each adapter a Python, or a folder of npm packages, of its own.

An environment is built from the manifest beside the adapter (:mod:`.manifest`) in the user's
cache folder (:mod:`.store`), and :mod:`.resolve` tells in which one an adapter is run.
"""
