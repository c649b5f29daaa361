"""The fast ways to run a model, where they are here.

A handout leaves ``llamalab/fast`` out: it holds the parts that a student is to write, solved. Models then run
as they are written.
"""

from __future__ import annotations

from pathlib import Path

from llamalab.errors import UserError

__all__ = ["fuse", "read_last_tokens"]

# Looked for beside this file: an editable installation would find another folder's, whichever this one is.
if Path(__file__).with_name("fast").is_dir():
    from llamalab.fast.fused import fuse
    from llamalab.fast.prefixes import read_last_tokens
else:

    def fuse(llama, precision):
        """Refuse.

        Raises:
            UserError: always.
        """
        raise UserError(f"--dtype {precision} is not part of this handout; leave it out to run the code of llama.py")

    def read_last_tokens(llama):
        """Leave the model as it is: False."""
        return False
