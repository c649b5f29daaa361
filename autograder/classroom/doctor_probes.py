"""What ``doctor`` hands in as a submission: it tries one thing and prints what it could do.

It prints ``refused`` if that was nothing. ``PROBE`` and ``FACTS`` (JSON) are put before this text.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time

FACTS = json.loads(globals()["FACTS"])


def network():
    socket.create_connection(("127.0.0.1", FACTS["port"]), timeout=1)
    return "connected"


def abstract_socket():
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + FACTS["abstract"])
    return "connected"


def home():
    with open(FACTS["home"]) as file:
        return "read " + file.read()[:4]


def references():
    return any_of(FACTS["references"], lambda path: open(path, "rb").read(1) and f"read {path}")


def environment():
    allowed = {"PATH", "HOME", "TMPDIR", "USER", "LANG", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "MALLOC_ARENA_MAX"}
    allowed |= {"PYTHONHASHSEED", "PWD", "LC_CTYPE", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK"}
    more = sorted(os.environ.keys() - allowed)
    return f"found {', '.join(more)}" if more else None


def processes():
    seen = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return f"saw {len(seen)}" if len(seen) > 2 else None


def system():
    return any_of(["/usr", "/etc", "/", "/dev", sys.prefix, sys.base_prefix], write_in)


def project():
    return any_of(FACTS["project"], write_in)


def rights():
    with open("/proc/self/status") as file:
        held = {line.split(":")[0]: line.split()[1] for line in file if line.startswith(("Cap", "NoNewPrivs", "Uid"))}
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        if int(held[name], 16):
            return f"{name} is {held[name]}"
    try:
        os.setuid(0)
        return "became root"
    except OSError:
        return None if held["NoNewPrivs"] == "1" and held["Uid"] != "0" else "may gain rights"


def namespaces():
    return "made one" if ctypes.CDLL(None).unshare(0x10000000) == 0 else None


def parent():
    return any_of(
        [f"/proc/{os.getppid()}/mem", f"/proc/{os.getppid()}/environ"], lambda path: open(path, "rb") and path
    )


def hidden_memory():
    return f"made one: {os.memfd_create('x')}"


def disk():
    written = 0
    for number in range(4):
        with open(f"/tmp/{number}", "wb") as file:
            try:
                for _ in range(63):
                    written += file.write(bytes(1 << 20))
                    file.flush()
            except OSError:
                pass
    return f"wrote {written >> 20} MB" if written > 128 << 20 else None


def processes_limit():
    for count in range(1000):
        try:
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
        except OSError:
            return None if count < 500 else f"started {count}"
    return "started 1000"


def memory():
    blocks = [bytearray(64 << 20) for _ in range(64)]
    return f"held {len(blocks)} blocks"


def memory_of_many():
    for _ in range(20):
        if os.fork() == 0:
            kept = bytearray(100 << 20)
            for page in range(0, len(kept), 4096):
                kept[page] = 1
            time.sleep(60)
    time.sleep(60)


def time_():
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    while True:
        pass


def leave():
    open("/tmp/left", "w").close()
    open("/dev/shm/left", "w").close()
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)


def find():
    left = [path for path in ("/tmp/left", "/dev/shm/left") if os.path.exists(path)]
    left += [name for name in os.listdir("/proc") if name.isdigit() and int(name) not in (1, os.getpid())]
    return f"found {', '.join(left)}" if left else None


def any_of(things, attempt):
    """The first success of an attempt on several things."""
    for thing in things:
        try:
            return attempt(thing)
        except OSError:
            continue
    return None


def write_in(folder):
    path = os.path.join(folder, "llamalab-doctor")
    with open(path, "w"):
        os.unlink(path)
    return "wrote to " + folder


def run():
    try:
        done = {**globals(), "time": time_}[PROBE]()  # noqa: F821  put before this text
    except (OSError, AttributeError):
        done = None
    print(done or "refused", flush=True)
