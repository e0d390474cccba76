"""Teachers for tests: untaught networks, of a side and colours of their own."""

import torch
from torch import Generator, Tensor

from ddoq.augment import Normalise
from ddoq.networks import NetworkConfig, make_network


class UntaughtTeacher:
    """A small network with norms by batch statistics, which as a teacher it must not use. Counts what it looks at."""

    def __init__(self, n_classes: int = 3, resolution: int = 16) -> None:
        network = NetworkConfig("resnet-18", width=8)
        self.network = make_network(network, n_classes, resolution, Generator().manual_seed(3)).eval()
        self.resolution, self.sides, self.n_seen = resolution, set[int](), 0

    @torch.no_grad()
    def look(self, images: Tensor) -> Tensor:
        self.sides.add(images.shape[-1])
        self.n_seen += len(images)
        images = torch.nn.functional.interpolate(
            images, (self.resolution, self.resolution), mode="bilinear", antialias=True
        )
        logits: Tensor = self.network(Normalise((0.4, 0.5, 0.6), (0.3, 0.2, 0.25))(images, Generator()))
        return logits
