"""Architecture search on a proxy: how well networks trained on a small set rank as they do trained on the whole one.

Every network of a sample of the 720 (`distillset.studies.space`) is trained on each proxy and judged on validation
images, held out of the training set before proxies are made of the rest; and trained on the whole rest and judged on
the test set. So no test image has a say in what a proxy would choose. Correlations have bootstrap intervals over
networks; they include the scatter of training a network again, which ``repeats`` averages out.
"""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from distillset.arguments import number as plain_number
from distillset.arguments import of_kind, path_of, several, text
from distillset.arguments import whole as whole_number
from distillset.coresets import SELECTORS
from distillset.data.real import RealSet
from distillset.data.synthetic import SyntheticSet, versions
from distillset.engine import Compute
from distillset.engine.hardware import hardware
from distillset.errors import InputError
from distillset.evaluation import Ledger, Protocol
from distillset.evaluation.candidates import Candidate, of_set, of_whole
from distillset.evaluation.checks import check_fit
from distillset.evaluation.evaluator import Evaluator
from distillset.evaluation.protocol import ResolvedProtocol
from distillset.keys import Key
from distillset.machine import Machine
from distillset.methods import METHODS
from distillset.nets import Network
from distillset.nets.convnet import ConvNetConfig
from distillset.sources.load import Data, with_test
from distillset.store import write_json
from distillset.studies.correlation import correlate, difference, top
from distillset.studies.folder import ACCURACIES, Networks, opened
from distillset.studies.makers import Maker, seconds
from distillset.studies.plot import scatter
from distillset.studies.space import draw_networks, space
from distillset.training import Recipe
from distillset.watch import Watcher, watching

RESULT = "nas.json"
PLOT = "nas.png"
VALIDATION = 0.1
"""Of the training set, held out to judge networks that were trained on a proxy."""
WHOLE_BATCH = 64
"""A small batch: many updates in few epochs, and on a CPU no slower an image than larger ones."""

PROXY = Protocol("dm", epochs=200)


@dataclass(frozen=True)
class Sample:
    """What a search takes of networks and images.

    Args:
        networks: how many of the 720 of the space, at least 4.
        images: about how many training images, the same share of every class; None is all.
        top: the share of the networks, above 0 and at most 1, that is best by the whole set and over which correlations
            are told as well.

    Raises:
        InputError: a field is out of its range.
    """

    networks: int = 24
    images: int | None = None
    top: float = 0.25

    def __post_init__(self) -> None:
        object.__setattr__(self, "networks", whole_number("networks", self.networks))
        object.__setattr__(self, "images", None if self.images is None else whole_number("images", self.images))
        object.__setattr__(self, "top", plain_number("top", self.top))
        if not 0 < self.top <= 1:
            raise InputError("top", self.top, "must be above 0 and at most 1")


def nas(
    data: Any,
    proxies: Sequence[str],
    out: str | Path,
    *,
    sample: Sample | None = None,
    ipc: int = 10,
    distill_steps: int | None = None,
    epochs: int = 10,
    protocol: Protocol | str = PROXY,
    repeats: int = 1,
    seed: int = 0,
    machine: Machine | str = "auto",
    watcher: Watcher | None = None,
) -> dict[str, Any]:
    """Rank networks by proxies and by the whole set.

    Args:
        data: training and test set.
        proxies: names of selectors and methods, which are run on the training part, or folders of artifacts.
        out: folder for proxies, the accuracy of every network, the result and a plot. The same call resumes an
            interrupted study; networks, ``repeats`` and ``proxies`` may be added.
        sample: which networks and images to use, see `Sample`.
        ipc: images per class of the proxies that are made, at least 1.
        distill_steps: steps of each distillation, at least 0; None is the method's published number.
        epochs: training epochs on the whole set, at least 0. Its ranking is taken as the truth.
        protocol: how networks are trained on proxies, as in `distillset.evaluate`; by default DM's with 200 epochs.
        repeats: networks of each kind on each set, at least 1; their accuracies are averaged.
        seed: random seed of the sample, the subset, the proxies and the networks.
        machine: what to compute on, as in `distillset.distill`.
        watcher: is notified of progress, and may ask to stop.

    Returns:
        The result, as it is stored in ``nas.json``.

    Raises:
        InputError: an argument is out of its range, or contradicts the study in ``out``.
        InterruptedRun: the watcher asked to stop.
    """
    watcher, machine = watching(watcher), Machine.of(machine)
    data = with_test(data, watcher)
    proxies = list(dict.fromkeys(text("proxies", proxy) for proxy in several("proxies", proxies)))
    sample = Sample() if sample is None else sample
    of_kind("sample", sample, Sample, "a Sample, or None")
    ipc, seed, epochs = whole_number("ipc", ipc), whole_number("seed", seed), whole_number("epochs", epochs)
    repeats, protocol = whole_number("repeats", repeats, 1), Protocol.of(protocol)
    distill_steps = None if distill_steps is None else whole_number("distill_steps", distill_steps)
    if not proxies:
        raise InputError("proxies", [], "name a selector, a method or the folder of an artifact")
    whole, held = _parts(data, sample.images, seed)
    configs = space(whole.spec)
    names = draw_networks(list(configs), sample.networks, seed)
    folders = [name for name in proxies if name not in (*SELECTORS, *METHODS) and Path(name).is_dir()]
    loaded = {name: _proxy(name, whole) for name in folders}
    makers = {name: Maker(name, distill_steps, machine=machine) for name in proxies if name not in loaded}
    for maker in makers.values():
        maker.check("proxies", whole.spec, ipc)
    Compute.resolve(machine)
    short = protocol.resolve("", whole.spec)
    long = ResolvedProtocol(f"whole-{epochs}-epochs", Recipe(epochs, batch=WHOLE_BATCH))
    settings = {
        "study": "nas",
        "data": f"{whole.fingerprint()} {data.test.fingerprint()}",
        "ipc": ipc,
        "images": sample.images,
        "seed": seed,
        "distill_steps": distill_steps,
        "epochs": epochs,
        "proxy_epochs": short.recipe.epochs,
        **protocol.settings(whole.spec),
    }
    with opened(path_of("out", out), settings) as folder:
        sets = dict(loaded)
        for name, maker in makers.items():
            sets[name] = maker.make(whole, ipc, seed, folder / "proxies" / name, watcher)
        if protocol.labels == "hard":
            sets = {name: replace(one, labels=one.classes) for name, one in sets.items()}
        candidates = [of_set(sets[name], name, short) for name in proxies]
        search = _Search(folder, whole, held, data.test, long, seed, machine, watcher)
        trials = []
        for number, name in enumerate(names, 1):
            trials.append(search.trial(name, configs[name], candidates, repeats, f"{number} of {len(names)}, {name}"))
        result = {
            "settings": settings,
            "versions": versions(),
            "hardware": hardware(torch.device(trials[0]["compute"]["device"])),
            "sample": len(names),
            "space": len(configs),
            "repeats": repeats,
            "images": {"train": len(whole), "validation": len(held), "test": len(data.test)},
            "protocols": {"proxy": _protocol(short), "whole": _protocol(long)},
            "proxies": _ranked(trials, {name: seconds(sets[name]) for name in proxies}, sample.top, seed),
            "differences": _differences(trials, proxies, seed),
            "networks": trials,
        }
        write_json(folder / RESULT, result)
        panels = {
            name: [(100 * one["accuracy"][name], 100 * one["accuracy"]["whole"]) for one in trials] for name in proxies
        }
        across, up = "validation accuracy %, trained on the proxy", "test accuracy %, trained on the whole set"
        scatter(folder / PLOT, panels, across, up, watcher)
    return result


class _Search:
    """Where networks are tried: each on the proxies and on the whole set."""

    def __init__(
        self,
        folder: Path,
        whole: RealSet,
        held: RealSet,
        test: RealSet,
        protocol: ResolvedProtocol,
        seed: int,
        machine: Machine,
        watcher: Watcher,
    ) -> None:
        self.folder, self.held, self.test, self.seed = folder, held, test, seed
        self.machine, self.watcher, self.spec = machine, watcher, whole.spec
        self.everything = of_whole(whole, protocol)

    def trial(
        self, name: str, config: ConvNetConfig, candidates: Sequence[Candidate], repeats: int, label: str
    ) -> dict[str, Any]:
        """A network's fields, and its accuracies and seconds by what it was trained on."""
        network = Network.of(name, self.spec)
        # Benches of a network each: what they compiled goes with them.
        judge, examination = self._evaluator(self.held, "nas-proxy"), self._evaluator(self.test, "nas-whole")
        rows = {candidate.artifact: judge.row(candidate, network, repeats) for candidate in candidates}
        rows["whole"] = examination.row(self.everything, network, repeats)
        parts = ", ".join(f"{on} {row.mean:.2%} in {row.seconds:.0f} s" for on, row in rows.items())
        self.watcher.note(f"{label}: {parts}")
        return {
            "network": name,
            **asdict(config),
            "accuracy": {on: row.mean for on, row in rows.items()},
            "accuracies": {on: list(row.accuracies) for on, row in rows.items()},
            "seconds": {on: row.seconds for on, row in rows.items()},
            "compute": rows["whole"].compute,
        }

    def _evaluator(self, test: RealSet, purpose: str) -> Evaluator:
        ledger = Ledger(self.folder / ACCURACIES)
        return Evaluator(
            self.spec,
            test,
            self.seed,
            self.machine,
            ledger,
            purpose=purpose,
            watcher=Networks(self.watcher, self.folder),
        )


def _parts(data: Data, images: int | None, seed: int) -> tuple[RealSet, RealSet]:
    """(what proxies and networks are made of, what judges networks trained on proxies), of about ``images`` images."""
    train = data.train
    if images is not None and not 2 * train.spec.classes <= images <= len(train):
        raise InputError("images", images, f"must be from {2 * train.spec.classes} to {len(train)}")
    if images is not None and images < len(train):
        part = train.split(images / len(train), Key(seed)("nas", "images"))[1]
        train = RealSet(part.images, part.labels, part.spec)
    return train.split(VALIDATION, Key(seed)("nas", "validation"))


def _proxy(folder: str, whole: RealSet) -> SyntheticSet:
    """An artifact as a proxy."""
    synthetic = SyntheticSet.load(folder)
    check_fit("training", whole, synthetic)
    if synthetic.whitening is not None:
        raise InputError(
            "proxies", folder, "is whitened, but the networks of a search are trained on unwhitened images"
        )
    if (synthetic.spec.mean, synthetic.spec.std) != (whole.spec.mean, whole.spec.std):
        raise InputError(
            "proxies",
            folder,
            f"is normalised with mean {synthetic.spec.mean} and std {synthetic.spec.std}, the data with "
            f"{whole.spec.mean} and {whole.spec.std}",
        )
    return synthetic


def _protocol(protocol: ResolvedProtocol) -> dict[str, Any]:
    return {"name": protocol.name, "labels": protocol.labels, **asdict(protocol.recipe)}


def _ranked(trials: list[dict[str, Any]], making: dict[str, float], fraction: float, seed: int) -> list[dict[str, Any]]:
    """For each proxy: correlations over all and over the top, what it would choose, and the time it took."""
    whole = [one["accuracy"]["whole"] for one in trials]
    best, whole_seconds = top(whole, fraction), sum(one["seconds"]["whole"] for one in trials)
    rows = []
    for name, making_seconds in making.items():
        proxy = [one["accuracy"][name] for one in trials]
        over_all = correlate(proxy, whole, Key(seed)("nas", "all"))
        over_top = correlate([proxy[i] for i in best], [whole[i] for i in best], Key(seed)("nas", "top"))
        chosen = max(range(len(trials)), key=lambda i: (proxy[i], -i))
        training = sum(one["seconds"][name] for one in trials)
        rows.append(
            {
                "proxy": name,
                "all": {**asdict(over_all), "claim": over_all.claim},
                "top": {"fraction": fraction, **asdict(over_top), "claim": over_top.claim},
                "chosen": {
                    "network": trials[chosen]["network"],
                    "whole": whole[chosen],
                    "best": max(whole),
                    "median": statistics.median(whole),
                },
                "seconds": {
                    "making": round(making_seconds, 1),
                    "training": round(training, 1),
                    "whole": round(whole_seconds, 1),
                    "saved": round(whole_seconds - making_seconds - training, 1),
                },
            }
        )
    return rows


def _differences(trials: list[dict[str, Any]], proxies: Sequence[str], seed: int) -> list[dict[str, Any]]:
    """Of every two proxies: the interval of the difference of their rho over all networks."""
    values = {name: [one["accuracy"][name] for one in trials] for name in (*proxies, "whole")}
    rows = []
    for i, one in enumerate(proxies):
        for other in proxies[i + 1 :]:
            span = difference(values[one], values[other], values["whole"], Key(seed)("nas", "all"))
            verdict = "not told apart"
            if span and (span[0] > 0 or span[1] < 0):
                verdict = f"{one if span[0] > 0 else other} ranks better"
            rows.append({"proxies": [one, other], "spearman_difference_interval": span, "claim": verdict})
    return rows
