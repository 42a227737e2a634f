"""The library and the suite's file writes under load: what one command prints as a table."""
