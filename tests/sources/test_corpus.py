"""Sets as people have them: each is read rightly, image by image, or refused in a line that helps."""

import re
from pathlib import Path

import pytest

from distillset.errors import InputError
from distillset.sources.load import load
from distillset.watch import Watcher
from tests.sources import file_cases, folder_cases, outside_cases, parquet_cases, table_cases
from tests.sources.made import Case

CASES = [*folder_cases.CASES, *file_cases.CASES, *table_cases.CASES, *parquet_cases.CASES, *outside_cases.CASES]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_read_rightly_or_refused_in_a_line(tmp_path: Path, case: Case) -> None:
    root = tmp_path / "d"
    root.mkdir()
    built = case.build(root)
    source = built if isinstance(built, Path) else root
    if case.refused:
        with pytest.raises(InputError, match=case.refused) as error:
            load(source, watcher=Watcher(), **case.options)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 1500 + 10 * len(str(tmp_path))
        return
    data = load(source, watcher=Watcher(), **case.options)
    names = data.train.spec.class_names
    assert sorted(names) == sorted(case.classes)
    for part, index in ((data.train, 1), (data.test, 2)):
        assert {name: int(part.counts[label]) for label, name in enumerate(names)} == {
            name: wanted[index] for name, wanted in case.classes.items()
        }
        shades = part.images[:, :3].float().mean((1, 2, 3)).sub(10).div(20).round().int().tolist()
        assert shades == [case.classes[names[label]][0] for label in part.labels.tolist()]
    said = "\n".join(data.notes)
    for pattern in case.said:
        assert re.search(pattern, said, re.MULTILINE), said
    assert len(said) < 1500 + 8 * len(str(tmp_path))
