#!/usr/bin/env bash
# Install a wheel in a clean environment, away from the repository, and use it: tools/try_package.sh WHEEL CONSTRAINTS
set -euo pipefail
wheel=$(realpath "$1") constraints=$(realpath "$2")
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
${PYTHON:-python3} -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check -c "$constraints" "$wheel"
cd "$place"
unset PYTHONPATH
export DISTILLSET_CACHE="$place/cache" PATH="$place/venv/bin:$PATH"
python -c 'import distillset, sys; sys.exit(not distillset.__file__.startswith(sys.prefix))'
distillset doctor
distillset distill dm --data digits --ipc 1 --steps 3 --out run --quiet
distillset evaluate run --repeats 1 --epochs 3 --save
distillset report run --out run.html
distillset export run --to parquet --out exported
python -c 'import distillset as ds; assert len(ds.SyntheticSet.load("exported")) == 10'
