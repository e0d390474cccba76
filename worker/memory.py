"""Is it memory that ran out? Retried with smaller batches, which a crash is not."""

import torch

NO_MEMORY = ("can't allocate memory", "out of memory")  # what torch says where it has no class for it


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that this machine or its accelerator has no memory left."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)
