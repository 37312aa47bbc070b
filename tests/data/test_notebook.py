"""A set displays itself in a notebook."""

import base64
import io
import re
import sys
from dataclasses import replace

import pytest
import torch
from PIL import Image

from distillset import SyntheticSet, select
from tests import toys


def shown() -> SyntheticSet:
    return select(toys.toy(), "random", 2)


def test_as_a_picture() -> None:
    """Three rows of two 8x8 images, enlarged to 32, with gaps of 2."""
    picture = shown()._repr_png_()
    assert picture is not None
    assert Image.open(io.BytesIO(picture)).size == (2 * 34 + 2, 3 * 34 + 2)


def test_as_html_with_a_hostile_name() -> None:
    synthetic = shown()
    hostile = replace(synthetic, spec=replace(synthetic.spec, name='<script>"x"</script>'))
    page = hostile._repr_html_()
    assert page is not None
    assert "<script" not in page
    assert "random: 6 images of 3 classes of &lt;script&gt;" in page
    (uri,) = re.findall(r"base64,([^\"]+)", page)
    assert base64.b64decode(uri) == hostile._repr_png_()


def test_what_is_no_picture_shows_as_text() -> None:
    spec = toys.spec_of(2, 8, 8)
    synthetic = SyntheticSet(torch.zeros(10, *spec.shape), torch.arange(10), spec)
    assert synthetic._repr_png_() is None
    assert synthetic._repr_html_() is None


def test_without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert shown()._repr_html_() is None
