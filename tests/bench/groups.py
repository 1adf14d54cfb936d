#!/usr/bin/python3
"""What limits that take a cgroup add to a launch: cordon run -- /bin/true with them and without, by turns.

usage: groups.py [CORDON [ROUNDS]]; strace(1) counts the system calls where it is installed.
"""
import collections
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

CORDON = sys.argv[1] if len(sys.argv) > 1 else "bin/cordon"
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 30
LIMITS = ["--remove", "missing=cgroup", "--memory", "64MiB", "--pids", "64", "--cpus", "1"]
COMMANDS = {"without": [CORDON, "run", "--", "/bin/true"], "with": [CORDON, "run", *LIMITS, "--", "/bin/true"]}


def launch(args):
    begun = time.monotonic()
    code = os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn(args[0], args, os.environ), 0)[1])
    took = time.monotonic() - begun
    if code != 0:
        sys.exit(f"{args}: exit {code}")
    return took * 1000


def calls(args):
    """System calls of the launcher and of all that it makes, by name; those of Go's scheduler are left out."""
    with tempfile.NamedTemporaryFile(mode="r") as trace:
        subprocess.run(["strace", "-f", "-qq", "-o", trace.name, *args], check=True)
        names = collections.Counter(line.split(None, 1)[1].split("(")[0] for line in trace if "(" in line and "resumed>" not in line)
    for name in "futex", "nanosleep", "sched_yield", "epoll_pwait", "tgkill", "rt_sigreturn":
        names.pop(name, None)
    return names


times = {name: [] for name in COMMANDS}
for i in range(ROUNDS + 2):
    for name in sorted(COMMANDS, reverse=i % 2 == 1):
        took = launch(COMMANDS[name])
        if i >= 2:
            times[name].append(took)
for name, runs in times.items():
    print(f"{name:8} median {statistics.median(runs):8.2f} ms  least {min(runs):8.2f} ms")
for what, of in ("median", statistics.median), ("least", min):
    a, b = of(times["without"]), of(times["with"])
    print(f"{what:8} {b - a:+.2f} ms, {b / a:.3f} times")
if shutil.which("strace"):
    counts = {name: calls(args) for name, args in COMMANDS.items()}
    print("system calls:", ", ".join(f"{name} {c.total()}" for name, c in counts.items()))
    more = counts["with"] - counts["without"]
    print("more:", ", ".join(f"{n} {name}" for name, n in more.most_common()))
