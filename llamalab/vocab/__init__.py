"""Tokenizers in and out of files."""
