"""Names, flags, networks, folders for the result, and artifacts that are wrong."""

from pathlib import Path

from tests.bad_input import artifacts
from tests.bad_input.case import EAGER, Case, data, flags, judged, out, usage
from tests.bad_input.sources import named

NAMES = [
    data("a slip of the pen", named("cifar-1O"), r"did you mean cifar10\?\); known names are digits, mnist, "),
    data("no known name", named("qqqqqq"), "--data qqqqqq: no such data set, folder or file; known names are"),
    data("empty name", named(""), "--data '': no such folder or file"),
    data("a name of the hub", named("ylecun/mnist"), r"--data ylecun/mnist: .*\(did you mean mnist\?\)"),
    data("an address", named("https://x.org/a.zip"), "--data https://x.org/a.zip: no such folder or file"),
    data("a very long name", named("x" * 5000), r"--data x{50,}\.\.\.: no such data set"),
    data("a very long path", named("./" + "x" * 5000), "no such folder or file"),
    data(
        "nobody's home",
        named("~nobody-of-this-name/x"),
        "--data ~nobody-of-this-name/x: no such folder or file",
    ),
    data("a device", named("/dev/null"), "--data /dev/null: a file of this kind is not read"),
    flags("--data-dir", "./nowhere", told=r"--data-dir nowhere: no such folder"),
    flags("--data-dir", "~nobody-of-this-name", told=r"--data-dir ~nobody-of-this-name: no such folder"),
]

OPTIONS = [
    flags("--ipc", "0", told="--ipc 0: must be at least 1"),
    flags("--ipc", "-3", told="--ipc -3: must be at least 1"),
    flags("--ipc", "two", told="--ipc two: must be a whole number"),
    flags("--ipc", "1.5", told="--ipc 1.5: must be a whole number"),
    flags("--steps", "-1", told="--steps -1: must be at least 0"),
    flags("--steps", "1e3", told="--steps 1e3: must be a whole number"),
    flags("--snapshots", "-1", told="--snapshots -1: must be at least 0"),
    flags("--evaluate-every", "-1", told="--evaluate-every -1: must be at least 0"),
    flags("--seed", "x", told="--seed x: must be a whole number"),
    flags("--lr", "0", told="--lr 0.0: must be a finite number above 0"),
    flags("--lr", "nan", told="--lr nan"),
    flags("--lr", "inf", told="--lr inf"),
    flags("--lr", "fast", told="--lr fast: must be a number"),
    flags("--momentum", "1", told="--momentum 1.0"),
    flags("--batch-real", "0", told="--batch-real 0"),
    flags("--augment", "crop_bend", told="unknown operation 'bend'"),
    flags("--init", "nowhere", told="--init nowhere: choose real, noise, kmeans"),
    flags("--init", "/", told=r"/: no card\.json"),
    flags("--device", "tpu", told="--device tpu: choose"),
    flags("--device", "cuda:77", told="--device cuda:77: this machine has"),
    flags("--precision", "fp64", told="--precision fp64: choose"),
    flags("--compile", "maybe", told="--compile maybe: choose"),
    flags("--resize", "8", told="--resize 8: must be HEIGHTxWIDTH"),
    flags("--resize", "0x8", told="--resize 0x8: must be HEIGHTxWIDTH"),
    flags("--resize", "8x", told="--resize 8x: must be HEIGHTxWIDTH"),
    flags("--resize", "²x8", told="--resize ²x8: must be HEIGHTxWIDTH"),
    flags("--resize", "100000x100000", told="--resize 100000x100000: .* at most 4096"),
    flags("--crop", told="--crop: says how to resize, so --resize HxW is needed"),
    flags("--classes", "0", told="--classes 0: at least two classes are needed"),
    flags("--classes", "0", "3", told="--classes 3: no such class .* from 0 to 2 of: 0, 1, 2"),
    flags("--classes", "0", "00", told="--classes 00: class 0 is named twice"),
    flags("--classes", "cat", "1", told="--classes cat: no such class"),
    flags("--classes", told="error: --classes: expected at least one argument"),
    flags("--nonsense", told="unrecognized arguments: --nonsense"),
    usage(told="required: COMMAND"),
    usage("dance", told="COMMAND dance: choose one of distill, "),
    usage("distill", told="required: METHOD"),
    usage("distill", "magic", "--ipc", "1", "--out", "x", told="METHOD magic: choose one of dc, "),
    usage("distill", "dm", "--ipc", "1", told="required: --out"),
    usage("distill", "dm", "--out", "x", told="required: --ipc"),
    usage("doctor", "now", told="unrecognized arguments: now"),
]

NETWORKS = [
    flags("--network", "perceptron", told="perceptron"),
    flags("--network", "", told="network", name="a network without a name"),
    flags("--network", "ConvNetD9", told="depth 9 of ConvNet: too deep"),
    flags("--network", "ConvNetW0", told="ConvNet"),
    flags("--network", "ConvNetQQ", told="ConvNetQQ"),
    flags("--network", "ConvNet D3", told="ConvNet D3"),
]

RESULTS = [
    out("a file as the folder", artifacts.plain_file, r"--out .*/file: is a file; choose a folder"),
    out("a folder below a file", lambda folder: artifacts.plain_file(folder) / "x", r"/file/x: cannot be written"),
    out("a folder of other things", artifacts.strangers, r"--out .*holds other files \(such as thesis\.tex\)"),
    out("a folder that cannot be made", lambda folder: Path("/proc/nowhere"), "/proc/nowhere: cannot be written"),
    out("a folder of too long a name", lambda folder: folder / ("x" * 300), "--out .*xxx.* too long"),
    out("a run whose checkpoints are damaged", artifacts.damaged_run, "none of the 1 checkpoints can be read"),
    Case(
        "no such selector",
        lambda place: ["select", "best", f"--data={place.toy}", "--ipc", "1", "--out", str(place.out)],
        "SELECTOR best: choose one of random",
    ),
    Case(
        "a selection of no images",
        lambda place: ["select", "random", f"--data={place.toy}", "--ipc", "0", "--out", str(place.out)],
        "--ipc 0: must be at least 1",
    ),
    Case(
        "a selection into other things",
        lambda place: [
            "select",
            "random",
            f"--data={place.toy}",
            "--ipc",
            "1",
            f"--out={artifacts.strangers(place.folder)}",
        ],
        "--out .*exists and is not an artifact",
    ),
    Case(
        "a selection into too long a name",
        lambda place: ["select", "random", f"--data={place.toy}", "--ipc", "1", f"--out={place.folder / ('x' * 300)}"],
        "x{300}: .*too long",
    ),
]

ARTIFACTS = [
    Case("no such artifact", lambda place: ["evaluate", str(place.folder / "none")], "none: no such folder"),
    Case(
        "a file as an artifact",
        lambda place: ["evaluate", str(artifacts.plain_file(place.folder))],
        "file: no such folder",
    ),
    Case(
        "an empty artifact", lambda place: ["evaluate", str(place.folder)], r"no card\.json, so not a finished artifact"
    ),
    judged("no tensors", artifacts.without("synthetic.safetensors"), r"synthetic\.safetensors: no such file"),
    judged("tensors cut short", artifacts.cut("synthetic.safetensors"), r"synthetic\.safetensors: damaged"),
    judged("a card cut short", artifacts.cut("card.json"), r"card\.json: not readable as JSON"),
    judged("a card that is a list", artifacts.text("card.json", "[]"), r"card\.json: field schema is missing"),
    judged("a card of the future", artifacts.card(schema=99), r"card\.json: schema 99 is newer"),
    judged("a card without a spec", artifacts.card(spec=None), "field spec is missing"),
    judged("a spec without a mean", artifacts.spec(mean=None), "spec: mean is None"),
    judged("a mean of two channels", artifacts.spec(mean=[0.5, 0.5]), "mean has 2 values for 3"),
    judged("a deviation of 0", artifacts.spec(std=[0.2, 0.0, 0.2]), "std contains 0.0; it must be finite and above 0"),
    judged("another normalisation", artifacts.spec(mean=[0.1, 0.2, 0.3]), "does not match the fingerprint"),
    judged("other classes", artifacts.origin(classes=["x", "y", "z"]), r"data\.classes \['x', 'y', 'z'\] are not"),
    judged(
        "data that moved",
        artifacts.origin(source="/no/such/data.npz"),
        "--data /no/such/data.npz: no such folder or file",
    ),
    judged("data that are a list", artifacts.card(data=[1]), r"data of the card is \[1\]; it must be a JSON object"),
    judged("a size in words", artifacts.origin(resize="big"), r"data\.resize is 'big'; it must be two"),
    judged("a size of one side", artifacts.origin(resize=[8]), r"data\.resize is \[8\]; it must be two"),
    judged("no size", artifacts.origin(resize=[0, 8]), r"data\.resize is \[0, 8\]; it must be two whole"),
    judged("a test set of another kind", artifacts.origin(test=7), r"data\.test is 7; it must be text"),
    judged("a card without data", artifacts.card(data={}), "--data: not given, and the artifact does not say"),
    judged("data of another kind", artifacts.origin(source=7), r"data\.source is 7; it must be text"),
    judged("other data", artifacts.nothing, "test set digits: 10 classes of .* do not fit", "--data", "digits"),
    judged("no repeats", artifacts.nothing, "--repeats 0: must be at least 1", "--repeats", "0"),
    judged("no epochs", artifacts.nothing, "epochs", "--epochs", "-1"),
    judged("no such protocol", artifacts.nothing, "--protocol best: choose one of auto", "--protocol", "best"),
    judged("no such network", artifacts.nothing, "perceptron", "--networks", "perceptron"),
]


def study(verb: str, *more: str, told: str) -> Case:
    """A study of good data with wrong flags."""
    return Case(
        f"{verb} {' '.join(more)}",
        lambda place: [verb, f"--data={place.toy}", "--out", str(place.out), *EAGER, *more],
        told,
    )


STUDIES = [
    study("continual", "--memory", "best", "--steps", "2", told="--memory best: choose from random"),
    study("continual", "--memory", "dm", told="--steps 5: must be from 1 to 3, the number of classes"),
    study("continual", "--memory", "dm", "--steps", "2", "--seeds", "-1", told="--seeds -1: must be from 0 to"),
    study("continual", told="required: --memory"),
    study("nas", "--proxy", "nowhere", told="--proxy nowhere: choose from random"),
    study("nas", "--proxy", "random", "--sample", "721", told="--sample 721: must be from 4 to 600"),
    study("nas", "--proxy", "random", "--top", "0", told="--top 0.0: must be above 0"),
    study("nas", "--proxy", "/", told=r"/: no card\.json"),
]

OPTIONS_AND_ARTIFACTS = [*NAMES, *OPTIONS, *NETWORKS, *RESULTS, *ARTIFACTS, *STUDIES]
