"""``python -m distillset``."""

import sys

from distillset.commands import main

if __name__ == "__main__":
    sys.exit(main())
