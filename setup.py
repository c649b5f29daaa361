"""What a wheel holds beyond the two packages: the rest of the project, as data below ``llamalab/project/``.

Student files must not be importable from everywhere, and courses are data. An editable installation needs none of it:
it names the folders of the two packages in this one, and nothing else of it can be imported.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from setuptools import setup
from setuptools.command.build_py import build_py

DATA = "*.py *.md *.toml *.data requirements*.txt LICENSE setup.sh .gitignore .handout courses/**/*".split()


class BuildWithProject(build_py):
    """Copies what is there; a handout has fewer files."""

    def run(self):
        super().run()
        paths = [] if self.editable_mode else [path for pattern in DATA for path in sorted(Path().glob(pattern))]
        for path in paths:
            if path.is_file() and "__pycache__" not in path.parts:
                target = Path(self.build_lib, "llamalab", "project", path)
                self.mkpath(str(target.parent))
                self.copy_file(str(path), str(target))


with TemporaryDirectory() as work:  # not in this folder, where the next build would find what this one left
    places = {"build": {"build_base": work}, "egg_info": {"egg_base": work}}
    setup(cmdclass={"build_py": BuildWithProject}, options=places)
