"""``python -m llamalab.datasets``: the command of ``llamalab.data``, by the name that it had first."""

from __future__ import annotations

import sys

from llamalab.data.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
