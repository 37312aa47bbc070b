"""The base class of every method: what the library asks of one, each with a default."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, Self, dataclass_transform

from torch import Tensor

from distillset.augment import Augmentation, check_formation, default_strategy
from distillset.data.spec import Spec
from distillset.engine import State
from distillset.errors import InputError
from distillset.methods.base import Matcher
from distillset.methods.by_loss import LossMatcher
from distillset.methods.images import Images
from distillset.methods.settings import AUTO, Setting, settings_of
from distillset.methods.task import Task
from distillset.nets.batch_norm import ADVICE, IMAGES
from distillset.presets import Preset

# What settings of this kind are called in every method.
MOMENTUM = "momentum of the images' SGD"
BATCH_REAL = "real images per class and step"
AUGMENT = (
    "siamese augmentation of real and synthetic images: operations joined by _, such as crop_flip (a step draws one "
    "for each class); none; or auto, which is color_crop_cutout_flip_scale_rotate, without flip for digits"
)
FORMATION = (
    "tiles across and down each image; each tile is enlarged and used as an image: 2 stores four times as many images "
    "in the same bytes (IDC, ICML 2022); 1 is an ordinary image, as published"
)


class Sizes(Protocol):
    """What a cost depends on: a `distillset.RealSet`, or what is known of one before it is read."""

    @property
    def spec(self) -> Spec:
        """Shape and classes."""

    @property
    def counts(self) -> Tensor:
        """Images of each class, int64 ``[classes]``."""

    def __len__(self) -> int:
        """All images."""
        ...


def check_strategy(text: str) -> None:
    """For settings such as ``augment``: whether ``text`` is a siamese strategy, ``none`` or ``auto``.

    Raises:
        InputError: an unknown or repeated operation.
    """
    if text != AUTO:
        Augmentation.parse(text)


@dataclass_transform(frozen_default=True, kw_only_default=True)
@dataclass(frozen=True)
class Method:
    """A distillation method: a record of its settings, and what it does with them.

    A subclass is a frozen dataclass by itself; its annotated fields are settings, each declared by `setting`, and are
    given by name. It needs a `name`, and a `loss` or a `prepare`. Everything else has a default::

        class Means(Method):
            name = "means"
            lr: float = setting(1.0, "learning rate of the images", above=0)

            def loss(self, task, network, synthetic, real):
                ours, theirs = task.embed(network, synthetic), task.embed(network, real)
                return (synthetic.mean(ours) - real.mean(theirs)).square().sum()

    Raises:
        InputError: a setting has a value that is not allowed, or the class lacks something.
    """

    name: ClassVar[str] = ""
    """On the command line, in cards and in tables: letters, digits, ``-`` and ``_``."""
    steps: ClassVar[int] = 1000
    """Steps of a run where none are asked for: the published number."""
    init: ClassVar[str] = "real"
    """Where images start if nothing else is asked for: ``real``, ``noise`` or ``kmeans``."""
    protocol: ClassVar[str] = "dm"
    """The protocol that its sets are evaluated by if none is named, a name of `distillset.evaluation.PROTOCOLS`."""
    second_order: ClassVar[bool] = True
    """Whether it takes second derivatives of a network, as `Task.loss_gradient` needs. False takes less memory, and
    allows networks that have none.
    """
    batch_norm: ClassVar[str] = ADVICE.format(count=IMAGES)
    """The note for users if the network has batch norm."""
    presets: ClassVar[Sequence[Preset]] = ()
    """Published settings that come with the method, beside those of `distillset.presets.PRESETS`."""

    # What the default `prepare` goes by. A subclass declares those as settings that its users may choose.

    @property
    def lr(self) -> float | None:
        """Learning rate of the images; the default `prepare` needs one."""
        return None

    @property
    def momentum(self) -> float:
        """Of the images' SGD."""
        return 0.0

    @property
    def batch_real(self) -> int:
        """Real images per class and step."""
        return 256

    @property
    def augment(self) -> str:
        """Siamese strategy: in a step each class draws one operation for both its real and synthetic images."""
        return "none"

    @property
    def formation(self) -> int:
        """Tiles across and down each image, see `distillset.augment.formation`."""
        return 1

    @property
    def canvas(self) -> int:
        """Images across and down each canvas, where textures are learned, see `distillset.augment.canvas`."""
        return 1

    @property
    def picks_images(self) -> bool:
        """Whether it chooses the first images itself: then the card does not say which real images they were."""
        return False

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        about = cls.__dict__.get("__doc__")
        dataclass(frozen=True, kw_only=True)(cls)
        cls.__doc__ = _documented(cls, about)

    def __post_init__(self) -> None:
        _check_whole(type(self))
        for setting in settings_of(self):
            object.__setattr__(self, setting.name, setting.value(self.values()[setting.name]))
        self.check()

    def check(self) -> None:
        """Whether the settings fit together.

        Raises:
            InputError: they do not.
        """

    def values(self) -> dict[str, Any]:
        """The settings by name."""
        return {name: value for name, value in vars(self).items() if name in self.__dataclass_fields__}

    def resolve(self, spec: Spec, ipc: int) -> Self:
        """The method with every ``auto`` replaced by its value for this data and ipc.

        Here: ``augment`` as published, without the flip for digits.
        """
        check_formation(self.formation, spec.shape)
        if self.augment != AUTO:
            return self
        changed: dict[str, Any] = {
            "augment": default_strategy(spec.flip)
        }  # which is a setting, as it is not the default
        return replace(self, **changed)

    def whitening(self, spec: Spec, ipc: int) -> str:
        """Whether images are whitened where ``whiten`` is ``auto``: ``zca`` or ``none``."""
        return "none"

    def images_before(self, real: Sizes) -> float:
        """What is trained before the first step, in forward passes of one image; a backward pass counts as two."""
        return 0.0

    def images_per_step(self, real: Sizes, ipc: int) -> float:
        """What a step costs, in the same unit. Here: the real images once, the synthetic ones forwards and back."""
        synthetic = ipc * self.formation**2 * real.spec.classes
        return float(real.counts.clamp(max=self.batch_real).sum()) + 3.0 * synthetic

    def prepare(self, task: Task) -> Matcher:
        """Make what the run needs. Here: steps of `loss` under a freshly drawn network each."""
        assert self.lr is not None, "checked when the method was made"
        leaf = {"lr": self.lr, "momentum": self.momentum}
        return LossMatcher(self.loss, leaf, task, self.batch_real, self.augment, self.formation)

    def loss(self, task: Task, network: State, synthetic: Images, real: Images) -> Tensor:
        """The loss of a block of classes, to be made small by moving the synthetic images; losses of blocks add up.

        Args:
            task: gives embeddings and gradients, see `Task.embed` and `Task.loss_gradient`.
            network: the parameters of the network of this step.
            synthetic: the synthetic images of the classes, augmented.
            real: real images of the same classes, drawn for this step and augmented as the synthetic ones of their
                class.

        Returns:
            A number, differentiable in the synthetic images.
        """
        raise NotImplementedError


def resolved(method: Method, spec: Spec, ipc: int) -> Method:
    """`Method.resolve`, and whether it left nothing open.

    Raises:
        InputError: a setting is still ``auto``.
    """
    resolved_method = method.resolve(spec, ipc)
    for setting in settings_of(resolved_method):
        if setting.unresolved(resolved_method.values()[setting.name]):
            raise InputError(setting.name, AUTO, f"method {resolved_method.name} chooses no value for it; give one")
    return resolved_method


def _check_whole(kind: type[Method]) -> None:
    """Whether a class has all that a method needs, before any data are read.

    Raises:
        InputError: says what is missing, and what to write.
    """
    title = f"method {kind.__name__}"
    if not kind.name.replace("-", "").replace("_", "").isalnum():
        raise InputError.about(title, f"name is {kind.name!r}; give it one of letters and digits, as in name = 'mine'")
    settings = {setting.name: setting for setting in settings_of(kind)}
    if kind.prepare is Method.prepare:
        if kind.loss is Method.loss:
            raise InputError.about(title, "has neither loss() nor prepare(); define one of them")
        if kind.lr is Method.lr:
            raise InputError.about(
                title,
                "has no learning rate for the images; declare one, as in "
                "lr: float = setting(1.0, 'learning rate of the images', above=0)",
            )
    for setting in settings.values():
        value = getattr(kind, setting.name, setting.default)
        if value is not setting.default:
            raise InputError.about(
                title,
                f"{setting.name} is a setting, whose default stays {setting.default!r}; to change it, write "
                f"{setting.name}: {setting.hint} = setting({_code(value)}, 'what it is')",
            )
        if setting.auto and setting.name != "augment" and kind.resolve is Method.resolve:
            raise InputError.about(
                title, f"setting {setting.name} is auto by default, and there is no resolve() to choose its value"
            )


def _code(value: Any) -> str:
    """A plain value as in Python code."""
    return repr(value) if isinstance(value, bool | int | float | str) else "..."


def _documented(kind: type[Method], about: str | None) -> str:
    """The docstring of a class with its settings as arguments, so that no text says them a second time."""
    text = inspect.cleandoc(about or f"The method {kind.name}.")
    try:
        settings: Sequence[Setting] = settings_of(kind)
    except (InputError, NameError):  # said when the method is made
        return text
    lines = ["", "", "Args:", *(f"    {setting.line()}" for setting in settings)] if settings else []
    return "\n".join([text, *lines, "", "Raises:", "    InputError: a setting has a value that is not allowed."])
