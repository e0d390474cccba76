"""Where the arithmetic runs. Chosen, never assumed."""

import torch


def choose_device() -> torch.device:
    """The first accelerator there is, else the CPU."""
    if torch.accelerator.is_available():
        return torch.accelerator.current_accelerator() or torch.device("cpu")
    return torch.device("cpu")


def choose_dtype(device: torch.device) -> torch.dtype:
    """Half the bytes where the hardware is made for it; exact enough for every autoencoder we load."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.bfloat16
    return torch.float32
