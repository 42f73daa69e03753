"""Read .npz files that may be damaged, or made to do damage.

NumPy's own reader raises a dozen kinds of errors over damaged bytes, makes room for whatever a
header claims, and unpacks a file of megabytes to gigabytes. What ``np.savez`` writes is not
compressed, so that no array here can be larger than the file.
"""

from __future__ import annotations

import errno
import io
import math
import os
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SUFFIX = ".npy"
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0,
}
# What zipfile and NumPy raise over bytes that were cut short or overwritten.
_BROKEN = (
    KeyError, EOFError, OverflowError, NotImplementedError, RuntimeError, SyntaxError, TypeError,
    struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Read all arrays of a file that ``np.savez`` wrote, by their names.

    Returns
    -------
    arrays : dict of str to np.ndarray

    Raises
    ------
    ValueError
        If it is no such file, is damaged, compressed, or holds Python objects.
    OSError
        If it cannot be read; with its path.
    """
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                # Several members may lie at the same place.
                if sum(each.file_size for each in members) > os.fstat(file.fileno()).st_size:
                    raise ValueError("its arrays are larger than the file")
                return {
                    each.filename.removesuffix(_SUFFIX): _array(archive, each)
                    for each in members
                }
        except _BROKEN as error:
            raise ValueError(str(error) or "it is damaged") from None
        except OSError as error:
            # A damaged place of a member may lie before the file's beginning.
            if error.errno == errno.EINVAL:
                raise ValueError("it is damaged") from None
            error.filename = str(path)
            raise


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
        raise ValueError(f"{member.filename!r} is compressed; np.savez writes plain arrays")
    file = io.BytesIO(archive.read(member))
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"{member.filename!r} is of version {version}")
    try:
        shape, is_fortran, dtype = _HEADERS[version](file)
    except MemoryError:  # brackets nested too deep for Python's parser
        raise ValueError(f"the header of {member.filename!r} is damaged") from None
    if dtype.hasobject:
        raise ValueError(f"{member.filename!r} holds Python objects, which are not read")
    content = file.getbuffer()[file.tell():]
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{member.filename!r} has {len(content)} bytes; {dtype} of shape {shape} "
                         "needs another number")
    if dtype.itemsize == 0:
        return np.zeros(shape, dtype)
    flat = np.frombuffer(content, dtype)
    return flat.reshape(shape, order="F" if is_fortran else "C")
