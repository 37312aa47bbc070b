"""Everything that must survive on disk is written here: whole files or none, with checksums, under a lock.

Tensors are kept as safetensors; no pickle is read or written anywhere in the library.
"""

from distillset.store.files import append, write_atomically, write_folder, write_text, writing
from distillset.store.json_files import SEAL, parse, read_json, write_json, write_sealed
from distillset.store.locks import LOCK, held, locked, sweep
from distillset.store.places import cache_folder, cache_path
from distillset.store.tensors import READING, checksum, glance, read_tensors, write_tensors

__all__ = [
    "LOCK",
    "READING",
    "SEAL",
    "append",
    "cache_folder",
    "cache_path",
    "checksum",
    "glance",
    "held",
    "locked",
    "parse",
    "read_json",
    "read_tensors",
    "sweep",
    "write_atomically",
    "write_folder",
    "write_json",
    "write_sealed",
    "write_tensors",
    "write_text",
    "writing",
]
