"""GPU kernels in Triton; what surrounds them in Python is beside what they speed up, in files named `fused_`."""
