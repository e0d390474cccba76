"""A training plan -> the recipe in the archive, as data and in plain words: for whoever trains on the images."""

from collections.abc import Mapping
from fractions import Fraction

from ddoq.archive import Recipe
from ddoq.network_config import ARCHITECTURES, NetworkConfig
from ddoq.plans import TrainingPlan
from ddoq.protocols import AugmentConfig, Cosine, OptimizerConfig, Protocol, Schedule

SOFT = {"fixed": "soft labels", "stored": "stored soft labels of each view", "live": "a teacher's logits of each view"}
OPTIMIZERS = {"adamw": "AdamW", "adam": "Adam", "sgd": "SGD"}


def recipe(plan: TrainingPlan, resolution: int) -> Recipe:
    """Say how the students of a plan are trained, on images of a side of `resolution` pixels."""
    protocol = plan.protocol
    return Recipe(
        protocol=protocol,
        n_images=plan.n_images,
        n_classes=plan.n_classes,
        resolution=resolution,
        seed=plan.seed,
        mean=plan.mean,
        deviation=plan.deviation,
        networks=tuple(map(_network, protocol.networks)),
        loss=_loss(protocol),
        optimizer=_optimizer(protocol),
        schedule=_schedules(protocol),
        augmentation="; ".join(augmentations(protocol.augment)) or "none",
        steps=plan.steps,
        batch_size=plan.batch_size,
    )


def augmentations(config: AugmentConfig) -> tuple[str, ...]:
    """Say what happens to training images, step by step."""
    jitter, least_area, most_area = config.jitter, *(config.crop_area or (1.0, 1.0))
    steps = (
        (config.patches > 1, f"the {config.patches} x {config.patches} patches of a mosaic shuffled"),
        (config.shift, f"random shifts by up to {_fraction(config.shift)} of the side, the edge repeated"),
        (config.crop_area, f"random crops of {least_area:.0%} to {most_area:.0%} of the area, enlarged to the whole"),
        (config.flip, f"left for right with chance {config.flip:g}"),
        (jitter, f"brightness, contrast and saturation times {1 - jitter:g} to {1 + jitter:g}"),
        (config.lighting, f"colours moved along ImageNet's principal axes, deviation {config.lighting:g}"),
        (config.cutout, f"a square of {_fraction(config.cutout)} of the side cut out"),
        (config.dsa, f"for each batch one of {', '.join(config.dsa.split('_'))} (differentiable siamese augmentation)"),
        (config.cutmix, "CutMix, Beta(1, 1)"),
    )
    return tuple(words for is_done, words in steps if is_done)


def _fraction(share: float) -> Fraction:
    return Fraction(share).limit_denominator(100)


def _network(network: NetworkConfig) -> str:
    row = ARCHITECTURES[network.name]
    norm = network.norm or row.norm
    return f"{network.name} ({network.width or row.width} channels, {norm if norm != 'none' else 'no'} norm)"


def _loss(protocol: Protocol) -> str:
    mixed = ", labels and weights mixed as the images are" if protocol.augment.cutmix else ""
    plain = f"cross-entropy times weight{mixed}, mean over the batch"
    if protocol.loss == "cross-entropy":
        return plain
    weight = "weight, mixed as the images are" if protocol.augment.cutmix else "weight"
    return (
        f"Kullback-Leibler divergence from {SOFT[protocol.labels]} (logits of both sides over "
        f"{protocol.temperature:g}) times {weight}, mean over the batch; without soft labels {plain}"
    )


def _optimizer(protocol: Protocol) -> str:
    config = protocol.optimizer
    rates = {network.name: f"{config.rate(network.name, 0):g}" for network in protocol.networks}
    momentum = f", momentum {config.momentum:g}" if config.momentum else ""
    decayed = " of matrices only" if config.decayed == "matrices" else ""
    decay = f"weight decay {config.weight_decay:g}{decayed}"
    return f"{OPTIMIZERS[config.kind]}, learning rate {_for_each(rates)}{momentum}, {decay}"


def _schedules(protocol: Protocol) -> str:
    config = protocol.optimizer
    words = {network.name: _schedule(_schedule_of(network, config)) for network in protocol.networks}
    return f"learning rate {_for_each(words)}, changed after each {config.moves_each}"


def _schedule_of(network: NetworkConfig, config: OptimizerConfig) -> Schedule:
    return config.schedules.get(network.name, config.schedule)


def _schedule(schedule: Schedule) -> str:
    if isinstance(schedule, Cosine):
        return f"falling along a cosine to {schedule.factor(1):.3g} of its height"
    return f"times {schedule.by:g} after {' and '.join(f'{share:.0%}' for share in schedule.at)} of the training"


def _for_each(words: Mapping[str, str]) -> str:
    """One text where all networks have the same."""
    if len(set(words.values())) == 1:
        return next(iter(words.values()))
    return ", ".join(f"{text} ({name})" for name, text in words.items())
