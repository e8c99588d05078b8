#!/usr/bin/env python3
"""Records docs/demo.svg: a real demo in a terminal of 80 by 24, as a picture that moves.

    scripts/record-demo.py [PROGRAM]     default: the one that scripts/built.sh names
    scripts/record-demo.py --screens COLUMNS PROGRAM
                                         prints what stood in a terminal of so many columns, a screen after the other, with
                                         a form feed after each, and draws nothing

The picture shows what stood in the terminal, a frame for each time it changed; viewers that move nothing show the last
one. Needs nothing but Python.
"""

import fcntl
import html
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLUMNS, ROWS = 80, 24
ARGUMENTS = ["--duration", "30s"]
PROMPT = '$ make demo ARGS="--duration 30s"'
# What comes within so many seconds is one frame.
TOGETHER = 0.3
# So much faster than it was, and so long the end is shown, in seconds.
FASTER, HOLD = 2.0, 8.0
CHAR, LINE, LEFT, TOP, SIZE = 7.8, 18, 18, 54, 13
CONTROL = re.compile(rb"\x1b\[[0-9;?]*[ -/]*[@-~]|[\r\n\x08]|[^\x1b\r\n\x08]+|\x1b.?")


class Terminal:
    """As much of a terminal as a program needs that redraws some lines."""

    def __init__(self, columns):
        self.columns = columns
        self.lines = [""] * ROWS
        self.row = self.column = 0

    def feed(self, output):
        for token in CONTROL.findall(output):
            if token == b"\r":
                self.column = 0
            elif token == b"\n":
                self.down()
            elif token == b"\x08":
                self.column = max(0, self.column - 1)
            elif token.startswith(b"\x1b["):
                self.control(token[2:-1].decode(), chr(token[-1]))
            elif not token.startswith(b"\x1b"):
                for char in token.decode():
                    self.put(char)

    def down(self):
        if self.row == ROWS - 1:
            self.lines = self.lines[1:] + [""]
        else:
            self.row += 1

    def put(self, char):
        if self.column == self.columns:
            self.column = 0
            self.down()
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[: self.column] + char + line[self.column + 1 :]
        self.column += 1

    def control(self, arguments, final):
        number = int(arguments) if arguments.isdigit() else 1
        if final == "A":
            self.row = max(0, self.row - number)
        elif final == "B":
            self.row = min(ROWS - 1, self.row + number)
        elif final == "G":
            self.column = number - 1
        elif final == "K" and arguments == "2":
            self.lines[self.row] = ""
        elif final in "KJ" and arguments in ("", "0"):
            self.lines[self.row] = self.lines[self.row][: self.column]
            if final == "J":
                self.lines[self.row + 1 :] = [""] * (ROWS - self.row - 1)
        elif final not in "mhl":
            sys.exit(f"record-demo: the terminal does not know ESC [ {arguments}{final}")

    def screen(self):
        return [line.rstrip() for line in self.lines]


def record(program, columns=COLUMNS, arguments=tuple(ARGUMENTS)):
    """Runs the demo; gives what stood in the terminal, with when, in seconds."""
    terminal = Terminal(columns)
    terminal.feed(PROMPT.encode() + b"\r\n")
    frames = [(0.0, terminal.screen())]
    own = ("KAFKA_", "POSTGRES_", "HITSTREAM_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    environment["TERM"] = "xterm-256color"
    begin = time.monotonic()
    process, screen = pty.fork()
    if process == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
        os.execve(program, [program, "demo", *arguments], environment)
    while True:
        try:
            output = os.read(screen, 65536)
        except OSError:
            break
        if not output:
            break
        terminal.feed(output)
        now, shown = time.monotonic() - begin, terminal.screen()
        if shown == frames[-1][1]:
            continue
        if now - frames[-1][0] < TOGETHER and len(frames) > 1:
            frames[-1] = (frames[-1][0], shown)
        else:
            frames.append((now, shown))
    _, status = os.waitpid(process, 0)
    if status != 0:
        sys.exit("record-demo: the demo failed:\n" + "\n".join(terminal.screen()))
    return frames


def text(row, line):
    style = ' class="p"' if line.startswith("$ ") else ""
    return f'<text x="{LEFT}" y="{TOP + row * LINE}"{style}>{html.escape(line, quote=False)}</text>\n'


def picture(frames):
    last = frames[-1][1]
    height = max(row for row, line in enumerate(last) if line) + 1
    width, tall = round(2 * LEFT + COLUMNS * CHAR), TOP + height * LINE + 4
    starts = [at / FASTER for at, _ in frames]
    whole = starts[-1] + HOLD
    ends = starts[1:] + [whole]
    # A line that stays for several frames is drawn once: lines by the frames in which they come and go.
    spans = {}
    for row in range(height):
        came = 0
        for i in range(1, len(frames) + 1):
            line = frames[came][1][row]
            if i == len(frames) or frames[i][1][row] != line:
                if line:
                    spans.setdefault((came, i), []).append(text(row, line))
                came = i
    style, groups = [], []
    for (came, gone), lines in sorted(spans.items()):
        name, stays = f"f{came}-{gone}", gone == len(frames)
        start, end = 100 * starts[came] / whole, 100 * ends[gone - 1] / whole
        steps = [(0.0, "visible" if came == 0 else "hidden")]
        if came > 0:
            steps.append((start, "visible"))
        steps.append((100.0, "visible") if stays else (end, "hidden"))
        steps = "".join(f"{at:.4g}%{{visibility:{how}}}" for at, how in steps)
        style.append(f"@keyframes {name}{{{steps}}}#{name}{{animation:{name} {whole:.1f}s step-end infinite}}")
        hidden = "" if stays else ' visibility="hidden"'
        groups.append(f'<g id="{name}"{hidden}>\n{"".join(lines)}</g>\n')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {tall}" width="{width}" height="{tall}" '
        'role="img" aria-label="make demo in a terminal">\n'
        f"<style>text{{white-space:pre}}.p{{fill:#8fd18f}}{''.join(style)}"
        "@media(prefers-reduced-motion:reduce){g{animation:none!important}}</style>\n"
        '<rect width="100%" height="100%" rx="8" fill="#16181d"/>\n'
        '<g fill="#5b6270"><circle cx="20" cy="20" r="6"/><circle cx="40" cy="20" r="6"/><circle cx="60" cy="20" r="6"/></g>\n'
        f'<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace" font-size="{SIZE}" fill="#d7dae0" '
        f'xml:space="preserve">\n{"".join(groups)}</g></svg>\n'
    )


def main():
    if sys.argv[1:2] in (["-h"], ["--help"]):
        print(__doc__.strip())
        return
    if sys.argv[1:2] == ["--screens"]:
        for _, screen in record(sys.argv[3], int(sys.argv[2]), ("--duration", "6s")):
            print("\n".join(screen) + "\f")
        return
    if sys.argv[1:]:
        program = str(Path(sys.argv[1]).resolve())
    else:
        built = subprocess.run([ROOT / "scripts/built.sh"], check=True, capture_output=True, text=True)
        program = built.stdout.strip() + "/hitstream"
    (ROOT / "docs/demo.svg").write_text(picture(record(program)))


main()
