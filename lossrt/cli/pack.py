"""`lossrt pack`: bundle → one file that travels."""

__all__ = ["pack"]

from pathlib import Path
from typing import Annotated

import typer

from lossrt.cli import console
from lossrt.cli.opened import opened
from lossrt.cli.options import BundleArgument, JsonOption, TrustOption


def pack(
    bundle: BundleArgument,
    out: Annotated[Path, typer.Option("-o", "--out", help="The file, such as mot17.lossrt.")],
    trust: TrustOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pack graphs, baselines and cases into one file that every verb takes; the same bundle gives the same bytes."""
    from lossrt.bundle import pack_bundle

    source = opened(bundle, trust=trust)
    digest = pack_bundle(source, out)
    size = out.stat().st_size
    if as_json:
        console.show_json({"file": str(out), "bytes": size, "sha256": digest, "bundle_id": source.bundle_id})
        return
    console.say(f"wrote {out}: {size:,} bytes")
    console.say(f"whoever gets it can ask for this bundle and no other: --trust {source.bundle_id}")
