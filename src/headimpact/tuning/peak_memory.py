"""The most memory that a block of work took."""

import resource
import sys

import torch


def start_memory_count(device: torch.device) -> None:
    """Forget earlier peaks where the device lets us.

    Args:
        device: The model's device.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> int:
    """Give the GPU's peak since `start_memory_count`, or the process's peak resident size.

    Args:
        device: The model's device.

    Returns:
        Bytes.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    kibibytes_on_linux = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kibibytes_on_linux if sys.platform == "darwin" else kibibytes_on_linux * 1024
