"""Identity of a result: the same input, recipe and version give the same UIDs; any change gives others.

A PACS that already holds an instance drops a second one of the same UID without a word (Orthanc:
`AlreadyStored`). So a repeat of the same run must have the same UIDs (it *is* the same result), and a run with
another version or recipe must not. UIDs are UUIDs of version 5 in the 2.25 form (PS3.5 B.2).
"""

import uuid
from dataclasses import dataclass

from pydicom.uid import UID

_NAMESPACE = uuid.UUID("5d1a2f0e-6f55-5c4b-9a53-0c8a9d6f2b71")
"""Our own, drawn once; changing it changes every UID ever made."""

IMPLEMENTATION_CLASS_UID = UID(f"2.25.{uuid.uuid5(_NAMESPACE, 'implementation class').int}")


@dataclass(frozen=True)
class RunIdentity:
    """What made the result."""

    recipe: str
    """Name of the recipe, e.g. 'medi0-v1'."""
    recipe_sha256: str
    """Hash of the recipe's content: every parameter."""
    code_version: str
    """Version of this software (semver)."""
    derivation: str = ""
    """The method in words: unwrapping, background, inversion, reference region with its offset."""
    image_digest: str = ""
    """Digest of the container image, where there is one; told, not part of the identity."""
    research: bool = True
    """Marks series and comments as not for diagnosis."""


def result_uid(manifest_sha256: str, run: RunIdentity, *parts: str) -> UID:
    """A UID that depends on the input's manifest, the recipe's content, the code version, and `parts`."""
    name = "\n".join((manifest_sha256, run.recipe, run.recipe_sha256, run.code_version, *parts))
    return UID(f"2.25.{uuid.uuid5(_NAMESPACE, name).int}")
