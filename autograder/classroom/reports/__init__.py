"""One module a format: what a class's records look like as pages, as a table, and to other programs."""
