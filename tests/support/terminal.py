"""Runs a program at a terminal of its own: argv[1] is what must be asked, argv[2] what is typed then, the rest is the program.

It prints one line, JSON: what was shown, whether typing would have been shown when it was asked, and the exit status.
"""

import json
import os
import pty
import select
import sys
import termios
import time

question, typed, program = sys.argv[1], sys.argv[2], sys.argv[3:]
child, master = pty.fork()
if child == 0:
    os.execvp(program[0], program)


def echoes():
    return bool(termios.tcgetattr(master)[3] & termios.ECHO)


shown, asked, end = b"", None, time.monotonic() + 120
while time.monotonic() < end:
    ready, _, _ = select.select([master], [], [], 1)
    if not ready:
        continue
    try:
        some = os.read(master, 4096)
    except OSError:
        # Nobody holds the other side any more.
        break
    if not some:
        break
    shown += some
    if asked is None and question.encode() in shown:
        asked = echoes()
        os.write(master, typed.encode())
_, status = os.waitpid(child, 0)
print(json.dumps({"shown": shown.decode(errors="replace"), "echoed": asked, "status": os.waitstatus_to_exitcode(status)}))
