"""
Reproducible zip: independent of file dates, file-system order and directory.

Chalice sets dates and permissions but keeps the order of the file system.
"""

import zipfile
from pathlib import Path

_DATE = (1980, 1, 1, 0, 0, 0)
_PERMISSIONS = 0o644 << 16


def normalize(path: Path) -> None:
    """
    Rewrite the zip *path* with its entries sorted by name.

    Raises:
        ValueError: If it has a name twice.
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
            # The same value on every build machine.
            entry.create_system = 3
            archive.writestr(entry, contents[name], compresslevel=9)
    written.replace(path)
