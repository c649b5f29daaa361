"""From what was handed in to a submission of bytes; the only policy for hostile archives."""
