"""What watches in tests."""

from collections.abc import Callable

from distillset.watch import Watcher


class Notes(Watcher):
    """Adds every note to a list."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    def note(self, line: str) -> None:
        self.lines.append(line)


class StopWhen(Watcher):
    """Asks to stop where a function says so."""

    def __init__(self, asked: Callable[[], bool], notes: list[str] | None = None) -> None:
        self.asked, self.notes = asked, [] if notes is None else notes

    def note(self, line: str) -> None:
        self.notes.append(line)

    def stop(self) -> bool:
        return self.asked()


class Networks(Watcher):
    """Keeps what it hears of networks: artifact, number, how many, accuracy."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int, int, float]] = []

    def network(self, artifact: str, network: int, networks: int, accuracy: float) -> None:
        self.heard.append((artifact, network, networks, accuracy))
