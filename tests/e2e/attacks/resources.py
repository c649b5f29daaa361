"""Groups 21 to 23: more than its share of time, memory, processes, files and output, and what stays afterwards."""

from __future__ import annotations

from tests.e2e.attacks.attack import WRONG, Attack

SHORT = 1.0  # seconds of a call that will hang
HOLD = "time.sleep(9)"

ATTACKS = (
    Attack(
        21, "an endless loop", call="while True: pass", outcome="timeout", seconds=SHORT, says="no answer within 1 s"
    ),
    Attack(21, "an endless loop at import", top="while True: pass", outcome="timeout", seconds=SHORT),
    Attack(
        21,
        "an endless match in C, all signals blocked or ignored, alarms off",
        call="""
            for number in {*range(1, 65)} - {signal.SIGKILL, signal.SIGSTOP, 32, 33}:
                signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
            signal.alarm(0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            re.match('(a*)*b', 'a' * 40)
        """,
        outcome="timeout",
        seconds=SHORT,
    ),
    Attack(
        21,
        "a deadlock, in many threads and processes that print all the time",
        call="""
            for _ in range(3):
                os.fork()
            threading.Thread(target=lambda: [print('waiting', flush=True) for _ in iter(int, 1)]).start()
            lock = threading.Lock()
            lock.acquire()
            lock.acquire()
        """,
        outcome="timeout",
        seconds=SHORT,
        says="waiting",
    ),
    Attack(
        21,
        "make the process that watches slow",
        call="""
            for which, who in ((os.PRIO_PROCESS, 1), (os.PRIO_PGRP, 1), (os.PRIO_USER, 0), (os.PRIO_USER, os.getuid())):
                attempt('renice', os.setpriority, which, who, 19)
            attempt('idle', os.sched_setscheduler, 1, os.SCHED_IDLE, os.sched_param(0))
            attempt('processor', os.sched_setaffinity, 1, {0})
            attempt('limit', resource.prlimit, 1, resource.RLIMIT_CPU, (1, 1))
            attempt('limit', resource.prlimit, 1, resource.RLIMIT_NOFILE, (0, 0))
        """,
    ),
    Attack(21, "wait for the keyboard", call="input()", outcome="error", says="EOFError"),
    Attack(
        21,
        "a file that takes long to compile",
        top="x = " + "x," * 30_000,
        outcome="error",
        says="NameError",
    ),
    Attack(
        21,
        "hang in atexit and in __del__",
        call="""
            import atexit
            class Hangs:
                def __del__(self):
                    time.sleep(99)
            sys.hangs = Hangs()
            atexit.register(time.sleep, 99)
            threading.Thread(target=time.sleep, args=(99,)).start()
        """,
    ),
    Attack(
        22, "a list without end", call="x = [0]\nwhile True: x += x", outcome="out of memory", says="more than 256 MB"
    ),
    Attack(22, "a tensor of a terabyte", call="import torch; torch.zeros(1 << 38)", outcome="out of memory"),
    Attack(22, "mmap", call="x = mmap.mmap(-1, 1 << 40)", outcome="error"),
    Attack(
        22,
        "memory of many processes",
        call="""
            for _ in range(4):
                if os.fork() == 0:
                    x = bytearray(110 << 20)
                    time.sleep(9)
            time.sleep(9)
        """,
        outcome="out of memory",
    ),
    Attack(
        22,
        "memory of many processes, printing all the time",
        call="""
            for _ in range(4):
                if os.fork() == 0:
                    x = bytearray(110 << 20)
                    time.sleep(9)
            while True:
                os.write(1, b'x' * 65536)
        """,
        outcome="out of memory",
    ),
    Attack(
        22,
        "memory of many other programs",
        call="""
            for _ in range(7):
                subprocess.Popen([sys.executable, '-Sc', 'import time; x = bytearray(60 << 20); time.sleep(9)'])
            time.sleep(9)
        """,
        outcome="out of memory",
    ),
    Attack(
        22,
        "memory in the buffers of sockets",
        call="""
            held = []
            for _ in range(3):
                os.fork()
            for _ in range(120):
                held += socket.socketpair()
            for end in held:
                end.setblocking(False)
                try:
                    while end.send(bytes(1 << 16)): pass
                except BlockingIOError:
                    pass
            time.sleep(9)
        """,
        outcome="out of memory",
    ),
    Attack(
        22,
        "fill the memory that processes share",
        call="""
            blocks = [open(f'/dev/shm/{i}', 'wb') for i in range(200)]
            for block in blocks:
                block.write(bytes(1 << 20))
                block.flush()
        """,
        outcome="error",
        says="No space left",
    ),
    Attack(
        22,
        "a fork bomb",
        call="""
            while True:
                try:
                    os.fork()
                except OSError:
                    pass
        """,
        outcome="out of memory",
    ),
    Attack(
        22,
        "as many processes as there can be, and then the answer",
        call="""
            try:
                while True:
                    subprocess.Popen(['/bin/sleep', '99'])
            except OSError:
                pass
        """,
    ),
    Attack(
        22,
        "as many threads as there can be, and then the answer",
        call="""
            threading.stack_size(65536)
            try:
                while True:
                    threading.Thread(target=time.sleep, args=(99,), daemon=True).start()
            except RuntimeError:
                pass
        """,
    ),
    Attack(
        22,
        "open files without end",
        call="files = [os.open('/dev/null', 0) for _ in range(1 << 20)]",
        outcome="error",
        says="Too many open files",
    ),
    Attack(
        22,
        "fill the disk",
        call="[open(f'/tmp/{i}', 'wb').write(bytes(1 << 20)) for i in range(10_000)]",
        outcome="error",
        says="No space left on device",
    ),
    Attack(
        22,
        "a sparse file of a terabyte",
        call="os.truncate(os.open('/tmp/x', os.O_CREAT | os.O_RDWR), 1 << 40)",
        outcome="error",
        says="File too large",
    ),
    Attack(
        22,
        "a million empty files",
        call="[os.close(os.open(f'/tmp/{i}', os.O_CREAT)) for i in range(1_000_000)]",
        outcome="error",
        says="No space left on device",
    ),
    Attack(
        22,
        "an answer of a gigabyte",
        call="import torch; return torch.zeros(1, 1).expand(1 << 14, 1 << 14), key",
        outcome="out of memory",
    ),
    Attack(
        22,
        "an answer of 69 megabytes",
        call="import torch; return torch.zeros(4150, 4150), key",
        outcome="fail",
        says="too large or malformed",
    ),
    Attack(
        22,
        "hold the memory of a graphics card",
        call="""
            import torch
            attempt('devices', lambda: {'nvidia0', 'nvidiactl', 'dri', 'kfd'} & {*os.listdir('/dev')})
            attempt('CUDA', lambda: torch.cuda.is_available() or -1)
        """,
        over=WRONG,
    ),
    Attack(
        22,
        "threads for every processor of a large machine",
        call="import torch; torch.set_num_threads(64); query @ query.mT",
    ),
    Attack(
        23,
        "leave processes behind",
        call="""
            others = {int(name) for name in os.listdir('/proc') if name.isdigit()} - {1, os.getpid()}
            attempt('processes of an earlier call', lambda: others)
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    os.execv('/bin/sleep', ['sleep', '86399.5'])
                os._exit(0)
        """,
    ),
    Attack(
        23,
        "leave files behind",
        call="""
            for folder in ('/tmp', '/dev/shm'):
                attempt(f'files of an earlier call in {folder}', os.listdir, folder)
                for name in ('rope.py', 'torch.py', '.pth', 'x'):
                    open(f'{folder}/{name}', 'w').write('raise SystemExit')
        """,
    ),
    Attack(
        23,
        "poison caches",
        call="""
            for folder in (sys.prefix, sys.base_prefix, '/project', '/usr/lib', '/etc', '/opt', '/var', '/dev', '/'):
                attempt('create', lambda: os.close(os.open(f'{folder}/poison', os.O_CREAT | os.O_RDWR)))
            for module in ('torch', 'json', 'autograder.worker.call', 'numpy', 'encodings'):
                file = __import__(module, fromlist=['x']).__file__
                attempt('append', lambda: open(file, 'a').close())
                attempt('cache', os.makedirs, os.path.dirname(file) + '/__pycache__/x')
                attempt('cache', lambda: open(__import__('importlib').util.cache_from_source(file), 'r+'))
        """,
    ),
    Attack(
        23,
        "raise its own limits",
        call="""
            for name in ('AS', 'CPU', 'NPROC', 'NOFILE', 'FSIZE', 'CORE'):
                kind = getattr(resource, f'RLIMIT_{name}')
                soft, hard = resource.getrlimit(kind)
                attempt(name, resource.setrlimit, kind, (hard + 1, hard + 1))
                attempt(name, resource.setrlimit, kind, (-1, -1))
            attempt('priority', os.nice, -1)
            attempt('real time', os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1))
        """,
    ),
    Attack(
        23,
        "leave limits, priority, signals and folder changed",
        call="""
            os.nice(19)
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
            signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
            os.umask(0o777)
            os.chdir('/')
        """,
        over=WRONG,
    ),
)
