"""A pseudo-terminal in which to start a program. POSIX only."""

from __future__ import annotations

import os


class Terminal:
    """``stream`` is what the program is given; ``read`` returns all that it shows, once."""

    def __init__(self, *, lines: int = 24, columns: int = 80) -> None:
        import fcntl  # noqa: PLC0415 -- POSIX only, and its tests are gathered everywhere
        import struct  # noqa: PLC0415
        import termios  # noqa: PLC0415

        self._ours, self.stream = os.openpty()
        fcntl.ioctl(self.stream, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read(self) -> str:
        """Return what the program shows until nobody has the terminal open any more."""
        os.close(self.stream)
        output = b""
        while True:
            try:
                part = os.read(self._ours, 4096)
            except OSError:  # Linux: the other side was closed
                break
            if not part:
                break
            output += part
        os.close(self._ours)
        return output.decode()
