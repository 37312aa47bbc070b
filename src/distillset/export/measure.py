"""Loss of accuracy by 8-bit pictures: the same networks, trained on a set's numbers and on its pictures."""

from pathlib import Path
from typing import Any

from distillset.data.synthetic import SyntheticSet
from distillset.evaluation import Ledger, Protocol, evaluate
from distillset.export.pixels import eight_bit
from distillset.machine import Machine
from distillset.sources.load import Data
from distillset.watch import Watcher


def measure(
    synthetic: SyntheticSet,
    data: Data,
    *,
    network: str = "convnet",
    repeats: int = 5,
    protocol: Protocol | str = "auto",
    ledger: Ledger | str | Path | None = None,
    machine: Machine | str = "auto",
    watcher: Watcher | None = None,
) -> dict[str, Any]:
    """Evaluate a set as it is and as pictures, with the same initial networks and the same order of batches.

    Args:
        synthetic: the set.
        data: what it was made from, with its test set.
        network: that is trained, a published name.
        repeats, protocol, ledger, machine, watcher: as in `distillset.evaluate`.

    Returns:
        ``rows`` (``as learned`` and ``8-bit``, with ``mean`` and ``std`` as fractions), ``lost`` (the difference of
        the means), and ``network``, ``protocol``, ``n`` and ``recipe``.
    """
    rows = {}
    for name, version in (("as learned", synthetic), ("8-bit", eight_bit(synthetic))):
        (row,) = evaluate(
            version,
            data,
            artifact=name,
            networks=(network,),
            repeats=repeats,
            protocol=protocol,
            beside=(),
            ledger=ledger,
            machine=machine,
            watcher=watcher,
        )
        rows[name] = row.to_json()
    exact = rows["as learned"]
    same = {field: exact[field] for field in ("network", "protocol", "n", "recipe")}
    return {"rows": rows, "lost": exact["mean"] - rows["8-bit"]["mean"], **same}
