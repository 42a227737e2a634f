"""Examine the GPU kernels without a GPU: registers, spills and accesses, or their traffic."""

from conformance.gpu.cli import check

if __name__ == "__main__":
    check()
