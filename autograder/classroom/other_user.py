"""The isolation ``user``: root starts a worker that is another user, where bubblewrap does not work.

That user has a copy of the worker's files, a folder of its own, and else what everybody can read. What is closed to
others, and every process of root's, is out of its reach; ``confinement.wall_in`` takes away what else can be spared.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autograder import trust
from autograder.engine.claims import Answer, Fault, Limits
from autograder.engine.session import Session
from autograder.worker.options import COMPONENTS
from llamalab.errors import UserError

USER = "student"
OWN_PROCESSES = 2  # of a worker that waits for a call
PATIENCE = 2.0  # seconds for ending what is left of a worker
TIDYING = 20.0  # seconds for removing what it wrote


class OtherUserSession(Session):
    """A session whose worker, and all that it starts, belongs to the user ``student``.

    Every process of that user is ended with the worker: nothing else may run under that name.

    Args:
        files: that the worker needs, and folders, by where they are to lie.
        variables: the worker's whole environment.
        components: where the course's components lie among the files.
        options: of the worker.

    Raises:
        UserError: there is no such user here, or this is not root on Linux.
    """

    def __init__(
        self, limits: Limits, files: trust.Files, variables: Mapping[str, str], components: str, options: Sequence[str]
    ) -> None:
        self._uid, self._gid = _identity()
        self._shared = Path(tempfile.mkdtemp(prefix="llamalab-worker-"))
        self._home = self._shared / "home"
        try:
            project = self._shared / "project"
            _copy(files, project)
            self._shared.chmod(0o755)
            user = [f"--reuid={self._uid}", f"--regid={self._gid}", "--clear-groups", "--inh-caps=-all"]
            folders = {"HOME": str(self._home), "TMPDIR": str(self._home)}
            environment = [f"{name}={value}" for name, value in {**variables, **folders}.items()]
            command = ["nice", "-n", "19", "setpriv", *user, "--no-new-privs", "--"]  # behind all that root has to do
            command += ["env", "-i", f"--chdir={self._home}", *environment]  # these variables and no other
            command += [sys.executable, "-E", "-P", str(project / trust.WORKER / "main.py")]
            command += [f"{COMPONENTS}{project / components}", *options]
            super().__init__(limits, command, lambda name, path: str(project / name))
        except BaseException:
            _remove(self._shared)
            raise

    def close(self) -> None:
        super().close()
        _remove(self._shared)

    def calls(self, *request: Any, **more: Any) -> list[Answer | Fault]:
        """Run an adapter as ``Session.calls`` does; a worker that could not end what it started is replaced."""
        results = super().calls(*request, **more)
        if len(_processes_of(self._uid)) > OWN_PROCESSES:
            self._stop()
        return results

    def _start(self) -> None:
        _remove(self._home)  # an earlier worker may have locked itself out
        self._home.mkdir(mode=0o700)
        os.chown(self._home, self._uid, self._gid)
        super()._start()

    def _stop(self) -> None:
        end_all(self._uid, self._gid)  # first: the worker's pipes end when the last of its processes does
        super()._stop()


def end_all(uid: int, gid: int) -> None:
    """Kill every process of a user, as far as that works within ``PATIENCE``."""
    deadline = time.monotonic() + PATIENCE
    while _processes_of(uid) and time.monotonic() < deadline:
        pid = os.fork()
        if pid == 0:
            try:
                os.setgroups([])
                os.setresgid(gid, gid, gid)
                os.setresuid(uid, uid, uid)
                os.kill(-1, signal.SIGKILL)  # all that it may, at once: one by one, some would fork meanwhile
            finally:
                os._exit(0)
        os.waitpid(pid, 0)


def _processes_of(uid: int) -> list[int]:
    """The processes of a user that have not ended."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
        except OSError:
            continue
        # What is in /proc of an undumpable process belongs to root, whoever the process belongs to.
        facts = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        if facts.get("Uid", "").split("\t")[0] == str(uid) and facts["State"][0] not in "ZX":
            found.append(int(pid))
    return found


def _identity() -> tuple[int, int]:
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("setpriv") is None:
        raise UserError(
            "grading as another user needs root on Linux, and setpriv of util-linux; take bubblewrap instead"
        )
    import pwd

    try:
        entry = pwd.getpwnam(USER)
    except KeyError as error:
        raise UserError(f"there is no user {USER}; make one: useradd --system --no-create-home {USER}") from error
    if entry.pw_uid == 0:
        raise UserError(f"the user {USER} is root by another name; make another one of that name")
    return entry.pw_uid, entry.pw_gid


def _copy(files: trust.Files, project: Path) -> None:
    """Copy files and folders to where everybody can read them, whatever the rights of the originals."""
    for name, source in files.items():
        target = project / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)
    for folder, _, names in os.walk(project):
        os.chmod(folder, 0o755)
        for name in names:
            os.chmod(os.path.join(folder, name), 0o644)


def _remove(folder: Path) -> None:
    """Remove a folder that a submission could write to, and not for ever: it may hold any number of files."""
    try:
        subprocess.run(["rm", "-rf", "--", folder], stderr=subprocess.DEVNULL, timeout=TIDYING)
    except subprocess.TimeoutExpired:
        pass
