"""A protocol, settled for a dataset, the size of its distilled set and a device."""

from dataclasses import dataclass

import torch

from ddoq.protocols import Protocol


@dataclass(frozen=True)
class TrainingPlan:
    """How students are trained.

    `n_images` are those of the distilled set, by which epochs become steps: as many for every contender. `mean` and
    `deviation` are of the RGB channels of the real images, 0 to 1.
    """

    protocol: Protocol
    n_images: int
    n_classes: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    seed: int
    device: torch.device

    @property
    def steps(self) -> int:
        """Optimiser steps of each student."""
        return self.protocol.n_steps(self.n_images, self.n_classes)

    @property
    def steps_an_epoch(self) -> int:
        """Optimiser steps in which as many images are shown as there are, or a few more."""
        return -(-self.n_images // self.batch_size)

    @property
    def batch_size(self) -> int:
        """Images a step; fewer in the last of an epoch, where epochs count."""
        return self.protocol.batch_size(self.n_images, self.n_classes)

    def rate(self, network: str, n_done: int) -> float:
        """The learning rate of a network's next step, after `n_done` of them."""
        progress = self.protocol.progress(n_done, self.n_images, self.n_classes)
        return self.protocol.optimizer.rate(network, progress)
