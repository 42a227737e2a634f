"""The GPU kernels examined without a GPU: what the compiler made of them, and their traffic."""
