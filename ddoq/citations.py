"""Config and report -> what has to be cited for them: exactly what was used, and nothing else."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ddoq import bibliography as works
from ddoq.config import DistillConfig
from ddoq.events import Stage
from ddoq.methods import Method, ReducerName
from ddoq.network_config import ARCHITECTURES, Family
from ddoq.prior_config import PixelsPrior
from ddoq.protocols import AugmentConfig, ProtocolName
from ddoq.provenance import used_sampler
from ddoq.types import Citation, Report

Works = Sequence[Citation]
Use = tuple[str, Works]  # what for, and what was

K_MEANS = (works.EXCHANGE, works.SEEDING)
METHODS: Mapping[Method, Works] = {"ddoq": (works.DDOQ,), "d4m": (works.D4M,)}
REDUCERS: Mapping[ReducerName, Works] = {
    "centroid": K_MEANS,
    "medoid": K_MEANS,
    "clvq": (works.MINI_BATCH, works.SEEDING),
    "herding": (works.HERDING,),
    "k-centre": (works.K_CENTRE, works.CORE_SET),
}
DIFFUSION: Mapping[str, Works] = {"stable-diffusion": (works.LATENT_DIFFUSION,), "dit": (works.DIT,)}
FITTED = (works.DIT, works.COSINE_NOISE, works.VELOCITY, works.ZERO_SNR, works.MIN_SNR, works.POWER_AVERAGE)
SCHEDULERS: Mapping[str, Works] = {
    "ddim": (works.DDIM,),
    "ddpm": (works.DDPM,),
    "dpm-solver++": (works.DPM_SOLVER,),
}
PROTOCOLS: Mapping[ProtocolName, Works] = {
    "small-hard": (works.DSA,),
    "minimax-hard": (works.MINIMAX, works.IDC),
    "d4m-fkd": (works.D4M, works.FKD),
    "rded": (works.RDED,),
    "rd3": (works.RD3,),
}
CONVNETS, RESNETS = (works.CONVNET, works.GRADIENT_MATCHING), (works.RESNET,)
NETWORKS: Mapping[Family, Works] = {
    "convnet": CONVNETS,
    "basic": RESNETS,
    "bottleneck": RESNETS,
    "cifar": RESNETS,
    "pooled": (works.RESNET, works.IDC),
}
MEASURES: Mapping[str, Works] = {"w2.weighted": (works.POT,), "coverage.distilled": (works.COVERAGE,)}
HUB_ID, COMMIT = re.compile(r"[\w.-]+/[\w.-]+"), re.compile(r"[\w.-]+")
# What TeX would take for a command; braces cannot be written at all, since BibTeX counts them.
COMMANDS = {"%": r"\%", "&": r"\&", "#": r"\#", "_": r"\_", "$": r"\$"}
SIGNS = {"\\": r"\textbackslash ", "~": r"\textasciitilde ", "^": r"\textasciicircum ", "{": "(", "}": ")"}
TEX = str.maketrans(COMMANDS | SIGNS)
NAMED_AUTHORS = 3


def cite(config: DistillConfig, report: Report) -> tuple[Citation, ...]:
    """List what made and measured a distilled set, each once, with everything that it was used for.

    Args:
        config: The distillation as it was run.
        report: Its figures tell what was measured; without accuracies, no student was trained.
    """
    cited: dict[str, Citation] = {}
    for used_for, found in _uses(config, report):
        for work in found:
            before = cited.get(work.key)
            words = f"{before.used_for}, {used_for}" if before else used_for
            cited[work.key] = replace(work, used_for=words)
    return tuple(cited.values())


def bibtex(citations: Iterable[Citation]) -> str:
    """Write citations for BibTeX, in UTF-8; names of models in them are foreign text and are escaped."""
    return "\n".join(map(_entry, citations))


def in_words(citation: Citation) -> str:
    """Write a citation as one line of plain text."""
    authors = ", ".join(citation.authors[:NAMED_AUTHORS])
    others = " et al." if len(citation.authors) > NAMED_AUTHORS else ""
    place = ", ".join(filter(None, (citation.venue, str(citation.year or ""), citation.note)))
    arxiv = f"arXiv:{citation.arxiv}" if citation.arxiv else ""
    return " ".join(f"{part}." for part in (f"{authors}{others}".rstrip("."), citation.title, place, arxiv) if part)


def _uses(config: DistillConfig, report: Report) -> Iterator[Use]:
    parts = config.parts
    yield "method", METHODS.get(config.method, ())
    if parts.weights != "uniform":
        yield "weights", (works.DDOQ,)
    yield f"reducer {parts.reducer}", REDUCERS.get(parts.reducer, ())
    if REDUCERS.get(parts.reducer) == K_MEANS and config.quantizer.effort != "fast":
        yield f"reducer {parts.reducer}", (works.SWAPS,)
    yield from _of_prior(config)
    yield from _of_labels(config)
    if report.accuracy:
        yield from _of_students(config)
    if report.calibration:
        yield "calibration", (works.CALIBRATION,)
    yield from ((name.partition(".")[0], found) for name, found in MEASURES.items() if name in report.figures)


def _of_prior(config: DistillConfig) -> Iterator[Use]:
    prior, sampler = config.prior, used_sampler(config)
    if model := None if isinstance(prior, PixelsPrior) else _model("prior-model", prior.model, prior.revision):
        yield "latents and images" if config.parts.canvas == "prior" else "latents", (model,)
    if Stage.FIT in config.stages:
        yield "fitted prior", FITTED
    if sampler is None:
        return
    yield "diffusion model", DIFFUSION.get(prior.kind, ())
    yield f"sampler {sampler.scheduler}", SCHEDULERS[sampler.scheduler]
    if sampler.guidance > 1:
        yield "guidance", (works.GUIDANCE,)


def _model(key: str, name: str | None, revision: str | None) -> Citation | None:
    """A model that the config names; a name that may be a hub id gets its address, if there is a revision to show."""
    if name is None:
        return None
    is_on_hub = HUB_ID.fullmatch(name) and COMMIT.fullmatch(revision or "")
    url = f"https://huggingface.co/{name}/tree/{revision}" if is_on_hub else ""
    return Citation(key, "", name, note=f"revision {revision}" if revision else "local folder", url=url)


def _of_labels(config: DistillConfig) -> Iterator[Use]:
    protocol = config.resolved_protocol
    if config.teacher is None or protocol.teacher is None:
        return
    yield "soft labels", (works.SOFT_LABELS, *((works.FKD,) if protocol.labels == "stored" else ()))
    teacher = config.teacher
    pretrained = _model("teacher-model", teacher.model, teacher.revision) if teacher.kind == "pretrained" else None
    yield "teacher", (pretrained,) if pretrained else _network(protocol.teacher.name)


def _of_students(config: DistillConfig) -> Iterator[Use]:
    protocol = config.resolved_protocol
    name: ProtocolName = config.students.protocol
    yield f"protocol {name}", PROTOCOLS.get(name, ())
    for network in protocol.networks:
        yield f"network {network.name}", _network(network.name)
    yield from _of_views(protocol.augment)


def _of_views(augment: AugmentConfig) -> Iterator[Use]:
    """What is done to training images, as far as somebody published it."""
    steps = (
        (augment.patches > 1, "patches", works.RDED),
        (augment.crop_area, "random crops", works.RESIZED_CROP),
        (augment.lighting, "lighting", works.LIGHTING),
        (augment.cutout, "cutout", works.CUTOUT),
        (augment.dsa, "augmentation", works.DSA),
        (augment.cutmix, "CutMix", works.CUTMIX),
    )
    return ((used_for, (work,)) for is_done, used_for, work in steps if is_done)


def _network(name: str) -> Works:
    return NETWORKS[ARCHITECTURES[name].family] if name in ARCHITECTURES else ()


def _entry(citation: Citation) -> str:
    fields = {
        "title": f"{{{_escape(citation.title)}}}",  # twice in braces: capitals stay
        "author": " and ".join(citation.authors),
        "year": str(citation.year or ""),
        "howpublished": citation.venue,
        "eprint": citation.arxiv,
        "archiveprefix": "arXiv" if citation.arxiv else "",
        "url": citation.url,
        "note": _escape(citation.note),
    }
    lines = [f"@misc{{{citation.key},", *(f"  {name} = {{{value}}}," for name, value in fields.items() if value)]
    return "\n".join((*lines, "}\n"))


def _escape(text: str) -> str:
    """Take foreign text out of TeX's hands, and bring it into one line."""
    return " ".join(text.split()).translate(TEX)
