"""To the Hugging Face hub: an artifact as a dataset repository that anybody loads in one line."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from distillset.arguments import path_of
from distillset.data.grid import GRID
from distillset.data.origin import row_without_path, without_paths
from distillset.data.rows import ACCURACY, read_rows, stale
from distillset.data.synthetic import CARD, EXPORTED, README, TENSORS, SyntheticSet
from distillset.errors import InputError
from distillset.export.parquet import write_parquet
from distillset.store import write_json

FILES = (README, EXPORTED, TENSORS, CARD, GRID, ACCURACY)
"""What is uploaded, where it is there: never checkpoints or logs."""


def push(folder: str | Path, repo: str, *, private: bool = False, api: Any = None) -> str:
    """Upload an artifact; its pictures are made if `export` has not put them into the folder yet.

    Args:
        folder: of the artifact.
        repo: ``OWNER/NAME`` on the hub; made if it is not there.
        private: whether a new repository is.
        api: a `huggingface_hub.HfApi`; by default one with the token that ``hf auth login`` has kept.

    Returns:
        The address of the repository.

    Raises:
        InputError: no artifact there, accuracies of another set beside it, or the hub refuses; the message says why.
    """
    folder = path_of("folder", folder)
    synthetic = SyntheticSet.load(folder)
    rows = read_rows(folder / ACCURACY) if (folder / ACCURACY).is_file() else []
    if fault := stale(rows, synthetic.fingerprint()):
        raise InputError.about(folder / ACCURACY, f"{fault}, or remove the file")
    with tempfile.TemporaryDirectory(prefix="distillset-") as temporary:
        copy = Path(temporary)
        write_parquet(replace(synthetic, card=without_paths(synthetic.card)), copy)
        if rows:
            write_json(copy / ACCURACY, [row_without_path(row) for row in rows])
        if (folder / EXPORTED).is_file():  # what an export said of its pictures, the cost of rounding among it
            shutil.copyfile(folder / README, copy / README)
        return _upload(copy, repo, private, api)


def _upload(folder: Path, repo: str, private: bool, api: Any) -> str:
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise InputError.about("push", "huggingface_hub is not installed; pip install huggingface_hub") from None
    api = api or HfApi(library_name="distillset")
    try:
        address = api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo,
            folder_path=str(folder),
            repo_type="dataset",
            allow_patterns=list(FILES),
            commit_message="A synthetic set made by distillset",
        )
    except Exception as error:  # a hub out of reach raises what the HTTP library of the day raises
        reason = next((line for line in str(error).splitlines() if line.strip()), "no reason given")
        raise InputError("repo", repo, f"not uploaded ({type(error).__name__}: {reason})") from None
    return str(address)
