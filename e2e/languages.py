"""Clients that come from the registries of languages, as `cargo xtask ci` has installed them.

PILLARBOX_CLIENTS is their folder: `python` holds what pip installed, `node` what npm did.
"""

import os
import pathlib
import sys


def folder(language):
    """The folder of a language's clients."""
    place = os.environ.get("PILLARBOX_CLIENTS")
    found = pathlib.Path(place or "target/clients").absolute() / language
    if not found.is_dir():
        raise RuntimeError(f"{found} is missing; cargo xtask ci --only packages")
    return found


def python(module):
    """Lets a module of the folder be imported."""
    place = str(folder("python"))
    if place not in sys.path:
        sys.path.append(place)
    __import__(module)
