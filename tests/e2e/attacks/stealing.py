"""Groups 18 to 20: finding right answers, other people's work or secrets, and sending them out."""

from __future__ import annotations

from tests.e2e.attacks.attack import WRONG, Attack

SECRETS = (
    "tests tests/graders autograder/engine autograder/engine/judge.py autograder/answers autograder/intake".split()
)
SECRETS += "autograder/classroom autograder/instructor autograder/trust.py .git rope.py llama.py".split()
SECRETS += "llamalab/fast llamalab/fast/fused.py llamalab/fast/prefixes.py courses/conftest.py".split()
SECRETS += [
    f"courses/mini_llama/{name}"
    for name in (
        *("mmia.toml", "minillama.toml", "handout", "handout/README.md"),
        *("components/rope/test_rope.py", "components/rope/references.safetensors", "components/rope/oracle.py"),
        *("components/rope/cases.py", "components/rope/mistakes.py", "components/rope/alternatives.py"),
        *("components/whole/references.safetensors", "components/lora/oracle.py"),
    )
]

ATTACKS = (
    Attack(
        18,
        "read graders, references, oracles and the solution",
        call=f"""
            for top in (PROJECT, '/project', '/', '/tmp', os.getcwd(), '..', sys.prefix):
                for name in {SECRETS}:
                    path = os.path.join(top, name)
                    attempt(path, os.listdir, path)
                    attempt(path, lambda: open(path, 'rb').read())
                    attempt(path, os.stat, path)
        """,
        over=WRONG,
        control=True,
    ),
    Attack(
        18,
        "read another submission, the gradebook and a token",
        call="""
            for folder, _, names in os.walk(OUTSIDE):
                attempt('walk', lambda: names)
            for name in ('submissions/ada/rope.py', 'results/gradebook.sqlite', 'home/.config/settings'):
                attempt(name, lambda: open(f'{OUTSIDE}/{name}').read())
                attempt(name, lambda: open(f'/proc/1/root{OUTSIDE}/{name}').read())
                attempt(name, lambda: open(f'/proc/self/cwd/../../..{OUTSIDE}/{name}').read())
        """,
        over=WRONG,
        control=True,
    ),
    Attack(
        18,
        "read the machine's files",
        call="""
            for path in ('/etc/passwd', '/etc/shadow', '/etc/ssh', '/var/log', '/run', '/sys', '/boot'):
                attempt(path, os.stat, path)
            for path in ('/home', '/root', '/mnt', '/srv', '/media'):
                attempt(path, lambda: {*os.listdir(path)} - {*sys.base_prefix.split('/')})
        """,
        over=WRONG,
        control=True,
    ),
    Attack(
        18,
        "read variables, memory, files and folders of other processes",
        call="""
            me = str(os.getpid())
            for process in [name for name in os.listdir('/proc') if name.isdigit() and name != me]:
                for name in ('environ', 'mem', 'maps', 'auxv', 'io', 'stack', 'syscall'):
                    attempt(name, lambda: open(f'/proc/{process}/{name}', 'rb').read(1))
                for name in ('fd', 'root', 'cwd', 'map_files', 'ns', 'fdinfo'):
                    attempt(name, os.listdir, f'/proc/{process}/{name}')
            attempt('processes', lambda: {name for name in os.listdir('/proc') if name.isdigit()} - {'1', me})
        """,
        over=WRONG,
        control=True,
    ),
    Attack(
        18,
        "read variables that were there when the worker started",
        call="""
            usual = {'PATH', 'HOME', 'TMPDIR', 'USER', 'LANG', 'LC_CTYPE', 'PWD', 'OMP_NUM_THREADS', 'MKL_NUM_THREADS'}
            usual |= {'MALLOC_ARENA_MAX', 'PYTHONHASHSEED', 'KMP_DUPLICATE_LIB_OK', 'KMP_INIT_AT_FORK'}
            attempt('variables', lambda: os.environ.keys() - usual)
            block = open('/proc/self/environ', 'rb').read().decode()
            attempt('first variables', lambda: {line.partition('=')[0] for line in block.split('\\0') if line} - usual)
        """,
        over=WRONG,
    ),
    Attack(
        18,
        "trace its parent and read its memory",
        call="""
            for process in {1, os.getppid()}:
                for request in (16, 0x4206):  # PTRACE_ATTACH, PTRACE_SEIZE
                    attempt('ptrace', libc.ptrace, request, process, 0, 0)
                buffer = ctypes.create_string_buffer(8)
                vector = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 8)
                remote = (ctypes.c_size_t * 2)(id(None), 8)
                attempt('read', libc.process_vm_readv, process, vector, 1, remote, 1, 0)
                attempt('write', libc.process_vm_writev, process, vector, 1, remote, 1, 0)
                handle = libc.syscall(434, process, 0)  # pidfd_open
                attempt('descriptor', libc.syscall, 438, handle, 0, 0)  # pidfd_getfd
                attempt('compare', libc.syscall, 312, process, os.getpid(), 0, 0, 0)  # kcmp
                attempt('pages', libc.syscall, 279, process, 0, 0, 0, 0, 0)  # move_pages
        """,
        over=WRONG,
    ),
    Attack(
        18,
        "look for open descriptors, shared memory and core dumps",
        call="""
            for number in range(3, 1024):
                try:
                    kind = os.readlink(f'/proc/self/fd/{number}')
                except OSError:
                    continue
                known = ('pipe:', '/proc/', '/usr/', '/environment/')
                attempt('file', lambda: -1 if kind.startswith(known) else kind)
                os.set_blocking(number, False)
                attempt('read', os.read, number, 1)
            maps = open('/proc/self/maps').read().splitlines()
            attempt('shared memory', lambda: [line for line in maps if ' rw-s ' in line])
            attempt('System V', lambda: open('/proc/sysvipc/shm').read().splitlines()[1:])
            attempt('core', lambda: resource.getrlimit(resource.RLIMIT_CORE)[1] > 1 or -1)
            attempt('keys', lambda: open('/proc/keys').read())
        """,
        over=WRONG,
    ),
    Attack(
        19,
        "search frames, objects and tracebacks for the expected answer",
        call="""
            import torch, numpy, linecache
            named = {'expected', 'reference', 'references', 'judge', 'variants', 'grader', 'seed', 'points'}
            frame = sys._getframe()
            while frame:
                attempt(frame.f_code.co_name, lambda: named & (frame.f_locals.keys() | frame.f_globals.keys()))
                frame = frame.f_back
            mine = {id(x) for x in (*rotated, query, key)}
            right = rotated[1]
            def same(x):
                try:
                    return id(x) not in mine and x.shape == right.shape and numpy.allclose(numpy.asarray(x), right)
                except Exception:
                    return False
            arrays = [x for x in gc.get_objects() if isinstance(x, (numpy.ndarray, torch.Tensor))]
            if query.shape[1] > 1:  # at position 0 the answer is the input
                attempt('arrays', lambda: [x.shape for x in arrays if same(x)])
            attempt('sources', lambda: [name for name in linecache.cache if 'graders' in name or 'oracle' in name])
        """,
    ),
    Attack(
        19,
        "import the grader, its references and oracles",
        call="""
            import importlib
            sys.path[:0] = ['/project', PROJECT, '/']
            for name in ('engine', 'engine.judge', 'engine.graders', 'engine.references', 'engine.session', 'answers',
                         'classroom', 'classroom.marking', 'instructor', 'instructor.bank', 'intake', 'trust',
                         'editions'):
                attempt(name, importlib.import_module, f'autograder.{name}')
            for name in ('tests', 'tests.graders', 'llamalab.fast', 'llamalab.fast.fused', 'llamalab.fast.prefixes'):
                attempt(name, importlib.import_module, name)
            for name in ('oracle', 'cases', 'mistakes', 'alternatives', 'test_rope'):
                attempt(name, importlib.import_module, f'courses.mini_llama.rope.{name}')
                attempt(name, importlib.import_module, f'courses.mini_llama.components.rope.{name}')
        """,
        over=WRONG,
    ),
    Attack(
        19,
        "import packages that the course forbids, without it showing",
        call="""
            import importlib
            for name in ('trans' + 'formers', 'pe' + 'ft'):
                sys.modules.pop(name, None)
                attempt(name, lambda: importlib.import_module(name).__file__ or -1)
                attempt(name, lambda: importlib.import_module(name + '.utils'))
        """,
        over=WRONG,
    ),
    Attack(
        20,
        "call the host: TCP, UDP, Unix sockets, IPv6",
        call="""
            for address in ('127.0.0.1', 'localhost', '::1', '0.0.0.0', '::ffff:127.0.0.1'):
                attempt('TCP', lambda: socket.create_connection((address, PORT), timeout=0.2))
            attempt('UDP', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', PORT)))
            attempt('abstract', lambda: socket.socket(socket.AF_UNIX).connect(NAME))
            for path in ('/run/docker.sock', '/var/run/docker.sock', '/run/systemd/private', '/tmp/.X11-unix/X0'):
                attempt(path, lambda: socket.socket(socket.AF_UNIX).connect(path))
        """,
        over=WRONG,
    ),
    Attack(
        20,
        "call the world: DNS, HTTP, pip",
        call="""
            attempt('DNS', lambda: socket.getaddrinfo('example.org', 80))
            attempt('TCP', lambda: socket.create_connection(('93.184.216.34', 80), timeout=0.2))
            attempt('TCP', lambda: socket.create_connection(('2606:2800:220:1::1', 80), timeout=0.2))
            attempt('interfaces', lambda: [name for _, name in socket.if_nameindex() if name != 'lo'])
            attempt('routes', lambda: open('/proc/net/route').read().splitlines()[1:])
        """,
        over=WRONG,
    ),
    Attack(
        20,
        "sockets that ignore network namespaces",
        call="""
            for family in range(2, 46):
                for kind in (1, 2, 3, 5):
                    descriptor = libc.socket(family, kind, 0)
                    attempt(f'family {family}', lambda: descriptor)
                pair = (ctypes.c_int * 2)()
                attempt(f'pair of family {family}', libc.socketpair, family, 1, 0, pair)
        """,
        over=WRONG,
        control=True,
    ),
)
