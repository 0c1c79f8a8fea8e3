"""
The same zip of the same files: whatever their dates, their order on the disk, and where they lie.

Chalice sets dates and permissions; the order in which it finds the files is the file system's.
"""

import zipfile
from pathlib import Path

_DATE = (1980, 1, 1, 0, 0, 0)
_PERMISSIONS = 0o644 << 16


def normalize(path: Path) -> None:
    """
    Write the zip *path* anew, sorted by name.

    Raises:
        ValueError: If a name is in it twice.
    """
    with zipfile.ZipFile(path) as found:
        names = sorted(found.namelist())
        contents = {name: found.read(name) for name in names}
    if len(contents) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice} is in {path} twice")
    written = path.with_suffix(".tmp")
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in names:
            entry = zipfile.ZipInfo(name, _DATE)
            entry.external_attr = _PERMISSIONS
            entry.compress_type = zipfile.ZIP_DEFLATED
            # The operating system it was made on says nothing about it.
            entry.create_system = 3
            archive.writestr(entry, contents[name], compresslevel=9)
    written.replace(path)
