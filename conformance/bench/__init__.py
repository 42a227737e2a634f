"""How fast the library is, beside what bounds it and beside its peers: ``crossent bench``."""
