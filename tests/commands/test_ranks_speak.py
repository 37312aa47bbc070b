"""What is said by which rank of a launcher."""

import sys

import pytest

from distillset.commands import PATIENCE, main


@pytest.mark.parametrize("rank", ["0", "1"])
def test_an_error_that_the_first_rank_does_not_say_is_said_by_another(
    rank: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first says it at once, another after it had time to; a launcher would have ended it by then."""
    waited: list[float] = []
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr("time.sleep", waited.append)
    out = sys.stdout
    assert main(["evaluate", "nowhere"]) == 2
    if sys.stdout is not out:  # where the other ranks' results go, to the end of the process
        sys.stdout.close()
        monkeypatch.setattr(sys, "stdout", out)
    assert capsys.readouterr().err.startswith("distillset: error: nowhere")
    assert waited == ([] if rank == "0" else [PATIENCE])
