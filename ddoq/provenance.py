"""Config, budget and figures -> how a distilled set was made, in plain words: for the report and the card."""

from collections.abc import Mapping

from ddoq.budgets import Budget
from ddoq.config import DistillConfig
from ddoq.methods import ROWS, Canvas, Method, ReducerName, Weighting
from ddoq.prior_config import FitPrior, PixelsPrior, Prior, Sampler
from ddoq.teacher_config import PretrainedTeacher, TeacherConfig, TrainedTeacher

SOURCES: Mapping[Method, str] = {
    "ddoq": "Dataset Distillation as Pushforward Optimal Quantization, arXiv:2501.07681",
    "d4m": "D4M: Dataset Distillation via Disentangled Diffusion Model, arXiv:2407.15138",
    "random": "a random sample of each class",
    "medoid": "the middle of each cluster of a class",
    "herding": "Welling, Herding Dynamical Weights to Learn, ICML 2009",
    "k-centre": "Gonzalez 1985; Sener and Savarese, Active Learning: A Core-Set Approach, arXiv:1708.00489",
}
POINTS: Mapping[ReducerName, str] = {
    "centroid": "centroids of k-means, refined by moving single images between cells",
    "clvq": "centroids of competitive learning vector quantization (mini-batch k-means)",
    "random": "images drawn at random",
    "medoid": "the images nearest to the centroids of k-means",
    "herding": "images chosen one by one so that their mean comes closest to that of the class",
    "k-centre": "the middle image of a class, then one by one the farthest from those chosen",
}
WEIGHTS: Mapping[Weighting, str] = {
    "uniform": "all images of a class count the same",
    "share": "in proportion to the share of its class that an image stands for",
    "sqrt": "in proportion to the square root of the share of its class that an image stands for",
}
SHOWN: Mapping[str, str] = {
    "fixed": "shown each image once",
    "stored": "shown beforehand each view that students see",
    "live": "shown each view as a student sees it",
}
SQUARES: Mapping[str, str] = {"crop": "the middle square of each image", "pad": "each image whole, on grey bars"}


def used_sampler(config: DistillConfig) -> Sampler | None:
    """Name the sampler of the distilled images; None where nothing is denoised."""
    denoises = config.parts.canvas == "prior" and config.resolved_sampler.strength > 0
    return config.resolved_sampler if denoises else None


def how_made(config: DistillConfig, budget: Budget, figures: Mapping[str, float]) -> Mapping[str, str]:
    """Say part by part how the images were made. Names of models and classes in it are foreign text.

    Args:
        config: The distillation as it was run.
        budget: The one of its budgets that is spoken of.
        figures: Those of its report; all `resolution` ones are told.
    """
    sampler = used_sampler(config)
    return {
        "method": _method(config),
        "images per class": _images_per_class(config, budget),
        "points": f"{config.parts.reducer}: {POINTS[config.parts.reducer]}",
        "images": f"{config.parts.canvas}: {_images(config.parts.canvas, sampler)}",
        "weights": f"{config.parts.weights}: {WEIGHTS[config.parts.weights]}",
        "prior": _prior(config.prior),
        **({"sampler": _sampler(sampler)} if sampler else {}),
        **({"soft labels": _teacher(config.teacher, config)} if config.teacher else {}),
        "squares": f"{config.dataset.aspect}: {SQUARES[config.dataset.aspect]}",
        "sides in pixels": _sides(figures),
    }


def _images_per_class(config: DistillConfig, budget: Budget) -> str:
    """Say how many images each class has, and of which budgets this is one."""
    each = of_each_class(budget)
    if config.total_images is not None:
        return f"{each}; {config.total_images:,} in all, more for the classes that gain most by them"
    sweep = config.images_per_class
    if isinstance(sweep, tuple) and len(sweep) > 1:
        return f"{each}; budget {budget.name}, one of {len(sweep)} of this distillation"
    return each


def of_each_class(budget: Budget) -> str:
    """Say how many images a class has, from least to most."""
    least, most = min(budget.counts), max(budget.counts)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _method(config: DistillConfig) -> str:
    row, parts = ROWS[config.method], config.parts
    changes = [
        f"{part} {chosen} instead of {usual}"
        for part, chosen, usual in (
            ("reducer", parts.reducer, row.reducer),
            ("canvas", parts.canvas, row.canvas),
            ("weights", parts.weights, row.weights),
        )
        if chosen != usual
    ]
    return "; but ".join([f"{config.method} ({SOURCES[config.method]})", *([", ".join(changes)] if changes else [])])


def _images(canvas: Canvas, sampler: Sampler | None) -> str:
    if canvas == "real":
        return "the real images that the points are"
    return "the points noised, denoised and decoded" if sampler else "the points decoded"


def _prior(prior: Prior) -> str:
    if isinstance(prior, PixelsPrior):
        return "pixels: no model, an image is its own latent"
    model = f"{prior.model} at {prior.revision}" if prior.revision else prior.model
    latents = f"posterior {prior.latents}" if model else "pixels"
    if not isinstance(prior, FitPrior):
        return f"{prior.kind}: {model}, {latents}"
    place = f"latents of {model}, {latents}" if model else "pixels"
    return f"fit: a diffusion transformer trained on this dataset's {place}"


def _sampler(sampler: Sampler) -> str:
    return (
        f"{sampler.scheduler}, the last {sampler.strength:.0%} of {sampler.steps} steps (strength "
        f"{sampler.strength:g}), guidance {sampler.guidance:g}"
    )


def _teacher(teacher: TeacherConfig, config: DistillConfig) -> str:
    protocol = config.resolved_protocol
    who = _who(teacher, SHOWN[protocol.labels], config.student_resolution)
    return f"logits of {who}; temperature {protocol.temperature:g}"


def _who(teacher: TeacherConfig, shown: str, student_side: int) -> str:
    """Say what the teacher is, where it comes from, and what it is shown."""
    if isinstance(teacher, PretrainedTeacher):
        model = f"{teacher.model} at {teacher.revision}" if teacher.revision else teacher.model
        side = f"{teacher.resolution} pixels" if teacher.resolution else "the model's own resolution"
        return f"{model}, a pretrained image classifier, {shown} at {side}"
    if isinstance(teacher, TrainedTeacher):
        return f"a {teacher.network} trained on this dataset, {shown} at {student_side} pixels"
    return f"a {teacher.network}, {teacher.checkpoint}, {shown} at {teacher.resolution} pixels"


def _sides(figures: Mapping[str, float]) -> str:
    prefix = "resolution."
    sides = (f"{name.removeprefix(prefix)} {side:g}" for name, side in figures.items() if name.startswith(prefix))
    return ", ".join(sides)
