"""Right solutions that look different: one module a component, with a list ``BANK``."""
