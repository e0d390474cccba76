"""ConvNet-D, the small network of the field."""

from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ddoq.network_config import Architecture
from ddoq.networks.fused import PooledNorm
from ddoq.networks.layers import make_norm


class ConvNet(nn.Sequential):
    """Layers one after the other, on images whose channels lie innermost in memory: a third faster on a CPU."""

    def forward(self, images: Float[Tensor, "b 3 h h"]) -> Float[Tensor, "b n"]:
        x = images.contiguous(memory_format=torch.channels_last)
        for layer in self:
            x = layer(x)
        return x


def make_convnet(architecture: Architecture, n_classes: int, side: int) -> nn.Module:
    """Build D blocks of 3x3 convolution, norm, ReLU and 2x2 average pooling, then one linear layer.

    Layers are named `features.0` ... and `classifier`, as where experts of trajectory matching come from.

    Source: Gidaris & Komodakis (2018), as in Zhao et al., arXiv:2006.05929 (VICO-UoE/DatasetCondensation:networks.py);
    initial weights as torch draws them.
    """
    width, depth = architecture.width, len(architecture.blocks)
    features: list[nn.Module] = []
    for block in range(depth):
        convolution = nn.Conv2d(width if block else 3, width, 3, padding=1)
        if architecture.norm == "instance":
            features += [convolution, PooledNorm(width), nn.Identity(), nn.Identity()]  # all three in one
        else:
            features += [convolution, make_norm(architecture.norm, width), nn.ReLU(inplace=True), nn.AvgPool2d(2)]
    return ConvNet(
        OrderedDict(
            features=nn.Sequential(*features),
            flatten=nn.Flatten(),
            classifier=nn.Linear(width * (side // 2**depth) ** 2, n_classes),
        )
    )
