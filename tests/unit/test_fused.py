"""Norm, ReLU and pooling as one are what torch makes of them one after the other."""

import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu

from ddoq.networks.fused import PooledNorm

SHAPES = [(2, 5, 7, 7), (3, 4, 8, 9), (1, 3, 2, 2), (4, 128, 16, 16), (2, 6, 32, 28)]


def pair(channels: int) -> tuple[PooledNorm, nn.GroupNorm]:
    """The fused layer, and torch's norm of the same scale and shift."""
    fused, norm = PooledNorm(channels), nn.GroupNorm(channels, channels)
    with torch.no_grad():
        fused.weight.copy_(torch.randn(channels, generator=torch.Generator().manual_seed(1)))
        fused.bias.copy_(torch.randn(channels, generator=torch.Generator().manual_seed(2)))
    norm.load_state_dict(fused.state_dict())
    return fused, norm


def images(shape: tuple[int, ...]) -> Tensor:
    return 3 * torch.randn(shape, generator=torch.Generator().manual_seed(0)) + 1


def apart(norm: nn.Module, x: Tensor) -> Tensor:
    return avg_pool2d(relu(norm(x)), 2)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", SHAPES)
def test_forth_it_is_norm_then_relu_then_pooling(shape, layout):
    fused, norm = pair(shape[1])
    x = images(shape).to(memory_format=layout)
    torch.testing.assert_close(fused(x), apart(norm, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", SHAPES)
def test_back_it_has_their_gradients(shape, layout):
    fused, norm = pair(shape[1])
    mine, theirs = (images(shape).to(memory_format=layout).requires_grad_() for _ in range(2))
    of_pooled = images(tuple(fused(mine).shape))
    fused(mine).backward(of_pooled)
    apart(norm, theirs).backward(of_pooled)
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fused.weight.grad, norm.weight.grad, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(fused.bias.grad, norm.bias.grad, rtol=1e-4, atol=1e-3)


def test_channels_that_never_change_have_no_gradient_and_no_nan():
    fused, _ = pair(3)
    x = torch.full((2, 3, 4, 4), 5.0, requires_grad=True)
    fused(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() < 1e-3
    assert fused.weight.grad is not None
    assert not fused.weight.grad.isnan().any()


def test_what_is_not_a_number_is_not_hidden():
    fused, _ = pair(2)
    x = images((1, 2, 4, 4))
    x[0, 1, 2, 3] = torch.nan
    assert fused(x)[0, 1].isnan().all()
    assert not fused(x)[0, 0].isnan().any()


def test_kernels_from_the_cache_round_as_those_compiled_just_now(tmp_path):
    code = (
        "import torch; from ddoq.networks.fused import PooledNorm;"
        "x = torch.randn(4, 32, 16, 16, generator=torch.Generator().manual_seed(0), requires_grad=True);"
        "y = PooledNorm(32)(x); y.square().sum().backward();"
        "print(y.double().sum().item(), x.grad.double().norm().item())"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    told = [subprocess.check_output([sys.executable, "-c", code], env=environment) for _ in range(2)]
    assert list(tmp_path.rglob("*.nbc"))
    assert told[0] == told[1]


def test_other_precisions_are_left_to_torch():
    fused, norm = pair(4)
    x = images((2, 4, 6, 6)).double()
    assert torch.equal(fused.double()(x), apart(norm.double(), x))
