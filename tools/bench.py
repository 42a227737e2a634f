"""Time the library and its peers: the same as ``crossent bench``."""

from conformance.bench.cli import bench

if __name__ == "__main__":
    bench()
