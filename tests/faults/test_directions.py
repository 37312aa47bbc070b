"""Names that turn the text around them, in pages and notebooks: they are shown as escapes, or apart."""

import json
import re
from pathlib import Path

import pytest
import torch

from distillset.data.spec import Spec
from distillset.data.synthetic import SyntheticSet
from distillset.escapes import DIRECTIONS
from distillset.export import export
from distillset.report import report

NAMES = ("cat\u202egnp.exe", "dog\u2067\u200f", "\u2066a\u2069", "مرحبا", "नमस्ते")


@pytest.fixture
def turned(tmp_path: Path) -> Path:
    spec = Spec("set\u202e", 3, 8, 8, NAMES, (0.5,) * 3, (0.25,) * 3)
    card = {"method": "me\u202ethod", "settings": {"network": "net\u202e"}, "data": {"source": "from\u202e"}}
    images = torch.rand(len(NAMES), 3, 8, 8, generator=torch.Generator().manual_seed(0))
    SyntheticSet(images, torch.arange(len(NAMES)), spec, card).save(tmp_path / "set\u202efdp")
    return tmp_path / "set\u202efdp"


def test_a_report(turned: Path, tmp_path: Path) -> None:
    page = report([turned], tmp_path / "page.html").read_text()
    assert not DIRECTIONS & set(page)
    assert r"cat\u202egnp.exe" in page
    assert "مرحبا" in page
    assert "नमस्ते" in page
    assert r"<bdi>me\u202ethod</bdi>" in page
    found = re.search(r'<script type="application/json" id="numbers">(.*?)</script>', page, re.DOTALL)
    assert found
    assert not DIRECTIONS & set(json.dumps(json.loads(found[1]), ensure_ascii=False)), "what the script shows later"


def test_a_notebook_and_the_readmes(turned: Path, tmp_path: Path) -> None:
    shown = SyntheticSet.load(turned)._repr_html_()
    assert shown is not None
    assert not DIRECTIONS & set(shown)
    export(SyntheticSet.load(turned), "parquet", tmp_path / "hub")
    for readme in (turned / "README.md", tmp_path / "hub" / "README.md"):
        assert not DIRECTIONS & set(readme.read_text()), readme
