"""`distillset reproduce` for the results of this repository: each is kept with the commit it was measured with.

python -m tools.reproduce ROW... [--budget 25m ...]
"""

import sys

from distillset.commands import main
from tools.provenance import commit

if __name__ == "__main__":
    known = commit()
    sys.exit(main(["reproduce", *sys.argv[1:], *([f"--commit={known}"] if known else [])]))
