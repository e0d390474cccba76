"""InstanceNorm, ReLU and 2x2 average pooling as one pass over memory, forth and back, on the CPU.

Apart they cost a step of a small ConvNet two thirds of what its convolutions do, all of it reading and writing its
largest tensors. Here an image stays in the core's cache from norm to pool, and nothing but the input is kept for the
way back. Channels lie innermost, as convolutions want them: the loops are over many channels at a time.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from numpy import float32
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import avg_pool2d, relu

from ddoq.pool_kernels import Floats, pool, unpool


class PooledNorm(nn.GroupNorm):
    """InstanceNorm with a scale and a shift, then ReLU, then 2x2 average pooling; a last odd row or column is dropped.

    Elsewhere than on a CPU, or in another precision, torch's own operations do the same. Differentiable once.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c i j"]:
        if x.device.type != "cpu" or x.dtype != torch.float32:
            return avg_pool2d(relu(super().forward(x)), 2)
        apply: Callable[..., Tensor] = _NormReluPool.apply
        pooled: Float[Tensor, "b c i j"] = apply(x, self.weight, self.bias, self.eps)
        return pooled


class _NormReluPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        b, c, h, w = x.shape
        pooled = torch.empty(b, c, h // 2, w // 2, memory_format=torch.channels_last)
        moments = torch.empty(b, 2, c)
        pool(_pixels(x), scale.numpy(), shift.numpy(), float32(eps), _pixels(pooled), moments.numpy())
        ctx.save_for_backward(x, scale, shift, moments)
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_pooled: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, scale, shift, moments = ctx.saved_tensors
        of_x, of_moments = torch.empty_like(x), torch.empty_like(moments)
        of_pooled = of_pooled.contiguous(memory_format=torch.channels_last)
        line = scale.detach().numpy(), shift.detach().numpy()
        unpool(_pixels(x), *line, moments.numpy(), _pixels(of_pooled), _pixels(of_x), of_moments.numpy())
        of_shift, of_scale = of_moments.sum(0)
        return of_x, of_scale, of_shift, None


def _pixels(x: Float[Tensor, "b c h w"]) -> Floats:
    """The memory of a tensor whose channels lie innermost: (b, h, w, c)."""
    pixels: Floats = x.detach().permute(0, 2, 3, 1).numpy()
    return pixels
