"""Memory that was freed and that the C library keeps for itself. Knows nothing of what was in it."""

import ctypes


def shrink() -> None:
    """Gives it back to the system, where the C library is glibc; takes milliseconds.

    glibc gives back by itself only what lies at the end of the heap, so an array that was replaced by a longer one would stay resident.
    """
    if hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)
