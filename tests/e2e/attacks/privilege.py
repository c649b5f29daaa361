"""Groups 24 and 25: rights over the machine, and what only reading a submission must not do."""

from __future__ import annotations

from tests.e2e.attacks.attack import RIGHT, WRONG, Attack

ATTACKS = (
    Attack(
        24,
        "chroot, mount, namespaces",
        call="""
            attempt('chroot', os.chroot, '/tmp')
            attempt('mount', libc.mount, b'none', b'/tmp', b'tmpfs', 0, None)
            attempt('bind', libc.mount, b'/', b'/tmp', None, 4096, None)
            attempt('remount', libc.mount, None, b'/', None, 32 | 4096, None)
            attempt('unmount', libc.umount2, b'/tmp', 2)
            for flag in (0x10000000, 0x00020000, 0x20000000, 0x40000000, 0x08000000, 0x02000000, 0x04000000, 0x80):
                attempt('unshare', libc.unshare, flag)
            attempt('setns', lambda: libc.setns(os.open('/proc/self/ns/mnt', os.O_RDONLY), 0))
            attempt('clone', libc.syscall, 56, 0x10000000 | 17, 0, 0, 0, 0)
            attempt('clone3', libc.syscall, 435, ctypes.create_string_buffer(64), 64)
            attempt('open_tree', libc.syscall, 428, -100, b'/', 1)
            attempt('fsopen', libc.syscall, 430, b'tmpfs', 0)
            attempt('pivot_root', libc.syscall, 155, b'/tmp', b'/tmp')
        """,
        over=WRONG,
    ),
    Attack(
        24,
        "become somebody else, regain capabilities",
        call="""
            for change in (os.setuid, os.setgid, os.seteuid, os.setegid):
                for user in (0, 1000, 65533):
                    attempt(change.__name__, change, user)
            attempt('setgroups', os.setgroups, [0])
            facts = dict(line.split(':', 1) for line in open('/proc/self/status').read().splitlines())
            for name in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'):
                attempt(name, lambda: int(facts[name], 16) or -1)
            attempt('privileges can grow', lambda: -1 if facts['NoNewPrivs'].strip() == '1' else 1)
            attempt('capset', libc.capset, (ctypes.c_uint32 * 2)(0x20080522), (ctypes.c_uint32 * 6)(1, 1, 1))
            attempt('set-user-id', lambda: subprocess.run(['su', '-c', 'true'], capture_output=True).returncode and -1)
        """,
        over=WRONG,
    ),
    Attack(
        24,
        "write to /proc/sys and devices, read the kernel's log",
        call="""
            for name in ('kernel/core_pattern', 'vm/drop_caches', 'user/max_user_namespaces', 'net/ipv4/ip_forward'):
                attempt(name, lambda: os.write(os.open(f'/proc/sys/{name}', os.O_WRONLY), b'1'))
            for path in ('/proc/sysrq-trigger', '/proc/1/oom_score_adj', '/proc/1/comm', '/proc/self/uid_map'):
                attempt(path, lambda: os.write(os.open(path, os.O_WRONLY), b'0'))
            usual = 'null zero full random urandom tty console fd stdin stdout stderr pts ptmx shm core'.split()
            attempt('devices', lambda: {*os.listdir('/dev')} - {*usual})
            attempt('terminal', os.open, '/dev/tty', os.O_RDWR)
            attempt('mknod', os.mknod, '/tmp/disk', 0o60666, os.makedev(8, 0))
            attempt('log', libc.klogctl, 3, ctypes.create_string_buffer(64), 64)
            score = open('/proc/self/oom_score_adj').read().strip()
            attempt('the kernel would end others first', lambda: -1 if score == '1000' else score)
        """,
        over=WRONG,
    ),
    Attack(
        24,
        "system calls that hold memory nobody counts, or reach far into the kernel",
        call="""
            calls = {
                'memfd_create': (319, b'x', 0),
                'memfd_secret': (447, 0),
                'shmget': (29, 0, 4096, 0o1600),
                'semget': (64, 0, 1, 0o1600),
                'msgget': (68, 0, 0o1600),
                'mq_open': (240, b'x', 0o102, 0o600, 0),
                'add_key': (248, b'user', b'x', b'y', 1, -3),
                'request_key': (249, b'user', b'x', 0, -3),
                'keyctl': (250, 0, -3, 1),
                'bpf': (321, 0, 0, 0),
                'perf_event_open': (298, ctypes.create_string_buffer(128), 0, -1, -1, 0),
                'userfaultfd': (323, 1),
                'io_uring_setup': (425, 1, ctypes.create_string_buffer(120)),
                'personality': (135, 0x0040000),
                'init_module': (175, 0, 0, b''),
                'kexec_load': (246, 0, 0, 0, 0),
                'open_by_handle_at': (304, -100, 0, 0),
                'acct': (163, b'/tmp/x'),
                'swapon': (167, b'/tmp/x', 0),
                'reboot': (169, 0xFEE1DEAD, 672274793, 0),
                'iopl': (172, 3),
                'settimeofday': (164, ctypes.create_string_buffer(16), 0),
                'sethostname': (170, b'x', 1),
                'x32 getpid': (0x40000000 + 39,),
            }
            import platform
            for name, arguments in calls.items() if platform.machine() == 'x86_64' else ():
                attempt(name, libc.syscall, *arguments)
        """,
        over=WRONG,
    ),
    Attack(
        24,
        "system calls of 32-bit programs",
        call="""
            import platform
            code = b'\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3'  # mov eax, 20 (getpid); int 0x80; ret
            page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
            page.write(code)
            function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
            function() if platform.machine() == 'x86_64' else os.kill(os.getpid(), signal.SIGSYS)
        """,
        outcome="crashed",
        says="SIGSYS",
    ),
    Attack(
        24,
        "install packages, a cron job and start-up files",
        call="""
            attempt('crontab', lambda: subprocess.run(['crontab', '-'], input=b'').returncode and -1)
            for path in ('/etc/cron.d/x', '/etc/ld.so.preload', f'{OUTSIDE}/home/.bashrc', '/var/spool/x'):
                attempt(path, lambda: open(path, 'a').close())
            attempt('package', lambda: os.mkdir(__import__('torch').__path__[0] + '/evil'))
            for path in [*sys.path, *__import__('site').getsitepackages()]:
                attempt(path, lambda: open(f'{path}/evil.pth', 'w').close())
        """,
        over=WRONG,
    ),
    Attack(
        24,
        "end the grader and processes of its user",
        call="""
            for number in range(2, 40_000):
                if number != os.getpid():
                    attempt('kill', os.kill, number, signal.SIGKILL)
        """,
        over=WRONG,
    ),
    Attack(
        25,
        "text that a careless reader would run or choke on",
        top="text = " + repr("=HYPERLINK('http://x') {{7*7}} <script> ${jndi:x} %n \\\\d " * 50),
    ),
    Attack(
        25,
        "an expression that is nested too deeply",
        top="x = " + "(" * 5000 + ")" * 5000,
        outcome="error",
        says="SyntaxError",
    ),
    Attack(25, "a chain of a hundred thousand attributes", top="x = a" + ".b" * 100_000, outcome="error", says="Error"),
    Attack(25, "minus signs that recurse", top="x = " + "-" * 200_000 + "1", outcome="error", says="Error"),
    Attack(
        25,
        "NUL bytes in the source",
        top="x = '\0'",
        outcome="error",
        says="source code string cannot contain null bytes",
    ),
    Attack(
        25,
        "an encoding that decompresses",
        over="# coding: zlib\n" + RIGHT,
        outcome="error",
        says="cannot be imported: ",
    ),
)
