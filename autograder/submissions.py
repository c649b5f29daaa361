"""Which files of a submission count. Everything else in its folder is never looked at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autograder.tracks import Track
from llamalab.errors import UserError

LARGEST = 256 << 10  # bytes of a source file
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Submission:
    """A student's files over this project's provided ones.

    Args:
        student: file of each module that a student writes; a missing one is found out when it is imported.
        provided: file of each module that is handed out complete, from this project's folder.
    """

    student: dict[str, Path]
    provided: dict[str, str]

    @classmethod
    def of(cls, track: Track, folder: Path) -> Submission:
        """The submission in ``folder``, as a track sees it.

        Raises:
            UserError: there is no folder, or none of the student's files in it.
        """
        folder = Path(folder).resolve()
        student = {Path(file).stem: folder / file for file in track.student_files}
        if not any(path.is_file() for path in student.values()):
            files = ", ".join(track.student_files)
            raise UserError(f"{folder} has none of the files of a submission ({files}); name the folder that has them")
        provided = {Path(file).stem: file for file in track.provided_files}
        provided["llamalab"] = "llamalab/__init__.py"
        return cls(student, provided)

    def sources(self) -> dict[str, bytes]:
        """The content of every student file that is there, by module.

        Raises:
            UserError: one cannot be read, or is far too large for source code.
        """
        found = {}
        for module, path in self.student.items():
            if not path.is_file():
                continue
            try:
                if path.stat().st_size > LARGEST:
                    raise UserError(f"{path} has {path.stat().st_size:,} bytes; a source file may have {LARGEST:,}")
                found[module] = path.read_bytes()
            except OSError as error:
                raise UserError(f"{path} cannot be read: {error.strerror}") from error
        return found
