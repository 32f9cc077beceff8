"""The folder that travels: graphs, golden cases, and a manifest with the digest of every file.

The torch side writes it once; everything after it needs only numpy, onnx and a runtime. The manifest covers
`graphs/`, `baselines/` and `cases/`; engines and reports are made later and carry their own identity.
"""

__all__ = [
    "COVERED",
    "SCHEMA",
    "Bundle",
    "Case",
    "GraphEntry",
    "Manifest",
    "check_outputs",
    "file_digest",
    "is_packed",
    "open_bundle",
    "pack_bundle",
    "replace_file",
    "staged",
    "write_bundle",
]

from lossrt.bundle.case import Case
from lossrt.bundle.files import file_digest, replace_file
from lossrt.bundle.folder import Bundle
from lossrt.bundle.manifest import COVERED, SCHEMA, GraphEntry, Manifest
from lossrt.bundle.opening import open_bundle
from lossrt.bundle.pack import pack_bundle
from lossrt.bundle.places import check_outputs
from lossrt.bundle.staging import staged
from lossrt.bundle.unpack import is_packed
from lossrt.bundle.writing import write_bundle
