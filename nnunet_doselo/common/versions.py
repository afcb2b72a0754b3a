"""Versions of everything that can change a number, as reports quote them."""

import platform
from importlib import metadata

PACKAGES = ("nnunet-doselo", "nnunetv2", "torch", "numpy", "scipy", "SimpleITK", "surface-distance", "pydosert")


def versions() -> dict[str, str]:
    """Version by name: Python, then `PACKAGES`. Read from the installed metadata, so nothing heavy is imported."""
    return {"python": platform.python_version()} | {name: version_of(name) for name in PACKAGES}


def version_of(package: str) -> str:
    """The version of an installed distribution, or "not installed"."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
