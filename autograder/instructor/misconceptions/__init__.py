"""Wrong solutions that students hand in: one module a component, with a list ``BANK``."""
