"""Assets: the files the project fetches, checkpoints, tokenizers and data, each proved by its sha256.

from llamalab import assets
assets.locate("smollm2")               # -> Path, or None while it is not there
assets.fetch(["sst"], mirror="usb/")   # -> [Result(name="sst-train", state="fetched", ...), ...]

python -m llamalab.assets --help       # the same from the command line
"""

from llamalab.assets.manifest import Asset, AssetError, Manifest, load_manifest
from llamalab.assets.store import Result, fetch, locate, verify

__all__ = ["Asset", "AssetError", "Manifest", "Result", "fetch", "load_manifest", "locate", "verify"]
