"""What of a dataset is not used, and what was decided about the rest."""


class LeftOut:
    """Counts what is not used, by reason, with the first name as an example: short, however much it is.

    `remarks` are sentences on what was decided where the data could be read in several ways.
    """

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}
        self.remarks: tuple[str, ...] = ()

    def add(self, reason: str, name: str, n: int = 1) -> None:
        before, example = self._found.get(reason, (0, name))
        self._found[reason] = (before + n, example)

    def merge(self, other: "LeftOut") -> None:
        for reason, (n, example) in other._found.items():
            self.add(reason, example, n)
        self.remark(*other.remarks)

    def remark(self, *sentences: str) -> None:
        self.remarks = (*self.remarks, *(sentence for sentence in sentences if sentence not in self.remarks))

    def sentences(self) -> tuple[str, ...]:
        return tuple(f"{n} {reason} (such as {example!a})" for reason, (n, example) in self._found.items())
