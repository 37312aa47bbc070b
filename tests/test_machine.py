"""What can be asked of a machine, and what is refused."""

import pytest

import distillset as ds
from distillset.machine import Machine


def test_everything_is_auto_unless_said_otherwise() -> None:
    assert Machine() == Machine("auto", "auto", "auto", "auto")


def test_a_device_s_name_stands_for_a_machine() -> None:
    assert Machine.of("cuda:1") == Machine(device="cuda:1")
    machine = Machine("cpu", "fp32")
    assert Machine.of(machine) is machine


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("device", "tpu"), ("device", ""), ("device", "cuda:"), ("device", "cuda:x"), ("device", "CPU"),
        ("device", "cuda:²"), ("device", "cuda:-1"), ("device", "cuda:12345"), ("precision", "fp16"),
        ("precision", ""), ("compile", "yes"), ("compile", ""), ("memory", "2Q"), ("memory", "0"),
    ],
)  # fmt: skip
def test_a_bad_field_is_named_when_the_value_is_made(field: str, value: str) -> None:
    with pytest.raises(ds.InputError, match=f"^{field}={value!r}: choose auto, "):
        Machine(**{field: value})


@pytest.mark.parametrize("field", ["device", "precision", "compile", "memory"])
@pytest.mark.parametrize("value", [None, True, 3, b"cpu"])
def test_fields_are_text(field: str, value: object) -> None:
    with pytest.raises(ds.InputError, match=rf"^{field}=.*: must be text"):
        Machine(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [None, 3, True, {"device": "cpu"}, ds.Machine])
def test_neither_a_machine_nor_a_name(value: object) -> None:
    with pytest.raises(ds.InputError, match=r"^machine=.*: must be a Machine, or the name of a device"):
        Machine.of(value)
