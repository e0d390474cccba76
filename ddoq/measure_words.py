"""Figures of the measures beside accuracy -> sentences of the report."""

from collections.abc import Mapping

UNITS = ("bytes", "KiB", "MiB", "GiB")


def gain_of_weights(figures: Mapping[str, float]) -> str | None:
    """Say in words what the weights gain in squared W2 to the latents; None if it was not measured."""
    if "w2.uniform" not in figures:
        return None
    weighted, uniform = figures["w2.weighted"], figures["w2.uniform"]
    gain = 1 - weighted / uniform if uniform else 0.0
    n_classes, n_rows = int(figures["w2.classes"]), int(figures["w2.rows_of_a_class_at_most"])
    return (
        f"Weighting the codewords by these shares {'raises' if gain < 0 else 'lowers'} their squared 2-Wasserstein "
        f"distance to the training latents by {abs(gain):.1%}: {weighted:,.6g}, against {uniform:,.6g} if all count "
        f"the same. Exact transport, mean over {n_classes} of {int(figures['classes'])} classes, the same latents for "
        f"both: {n_rows:,} of each class, drawn at random, or all where there are no more."
    )


def words_on_coverage(figures: Mapping[str, float]) -> str | None:
    """Say how much of the real data lies near to a distilled image; None if it was not measured."""
    if "coverage.distilled" not in figures:
        return None
    n_classes, n_rows = int(figures["coverage.classes"]), int(figures["coverage.rows_of_a_class_at_most"])
    again = " The images were encoded again as they are in the archive." if "resolution.decoder" in figures else ""
    return (
        f"{figures['coverage.distilled']:.1%} of the real images have a distilled one nearer than their "
        f"{figures['coverage.neighbours']:.0f}th nearest neighbour in latent space (coverage); of as many real images, "
        f"drawn at random, {figures['coverage.random']:.1%} have one. Density is {figures['density.distilled']:.2f}, "
        f"against {figures['density.random']:.2f}. What lies amid a class, as an average of many images does, is "
        f"nearer to all of them than they are to each other, which raises both; that alone makes no better training "
        f"set.{again} Mean over {n_classes} of "
        f"{int(figures['classes'])} classes, {n_rows:,} real images of each at most."
    )


def words_on_bytes(figures: Mapping[str, float]) -> str | None:
    """Say how many bytes stand for how many; None if the latter are not known."""
    if "compression.bytes" not in figures:
        return None
    labels = figures.get("bytes.soft_labels")
    soft = f", {in_bytes(labels)} of soft labels" if labels is not None else ""
    ratio = figures["compression.bytes"]
    times = f"{ratio:,.1f} times smaller" if ratio >= 1 else f"{1 / ratio:,.1f} times larger"
    return (
        f"In bytes the set is {times} than the training images as stored: "
        f"{in_bytes(figures['bytes.distilled'])} ({in_bytes(figures['bytes.distilled_images'])} of PNG{soft}, "
        f"{in_bytes(figures['bytes.weights'])} of weights) against {in_bytes(figures['bytes.train'])}."
    )


def in_bytes(n: float) -> str:
    """Write a number of bytes with three digits, as in 1.53 MiB."""
    unit = 0
    while n >= 1024 and unit < len(UNITS) - 1:
        n, unit = n / 1024, unit + 1
    return f"{n:,.0f} {UNITS[unit]}" if unit == 0 or n >= 100 else f"{n:.3g} {UNITS[unit]}"
