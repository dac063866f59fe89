"""The Python that the peers run in: a venv with the versions of bench/peers/requirements.txt."""

import json
import os
import pathlib
import subprocess
import sys

REQUIREMENTS = pathlib.Path(__file__).resolve().parent / "peers" / "requirements.txt"
VERSIONS = """
import importlib.metadata, json, sys
print(json.dumps({d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions()}))
"""


def fail(message):
    sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {message}")


def default_folder():
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(cache) / "rheo" / "bench-venv"


def wanted():
    lines = REQUIREMENTS.read_text(encoding="utf-8").split()
    return dict(line.split("==") for line in lines)


def installed(python):
    """{package: version}, empty where there is no such Python."""
    try:
        result = subprocess.run([python, "-c", VERSIONS], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return {}
    return json.loads(result.stdout)


def missing(python):
    found = installed(python)
    return [f"{name} {version}" for name, version in wanted().items()
            if found.get(name, "").split("+")[0] != version]


def run(*command):
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            check=False)
    if result.returncode:
        tail = "\n".join(result.stdout.splitlines()[-8:])
        fail(f"{' '.join(map(str, command))} failed:\n{tail}\nThe packages come from PyPI, so this "
             "step needs a network. Without one, name a venv that has them: --venv FOLDER")


def ensure(folder):
    """The Python of a venv that has what is required; makes or completes the venv."""
    folder = pathlib.Path(folder or default_folder()).absolute()
    python = folder / "bin" / "python"
    lacks = missing(python)
    if not lacks:
        return python
    if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").exists():
        fail(f"{folder} is no venv; --venv takes one, or a folder to make one in")
    print(f"installing into {folder}: {', '.join(lacks)} (PyTorch with all it wants takes 6 GB)",
          file=sys.stderr, flush=True)
    if not python.exists():
        run(sys.executable, "-m", "venv", folder)
    run(python, "-m", "pip", "install", "--disable-pip-version-check", "-r", REQUIREMENTS)
    if lacks := missing(python):
        fail(f"{folder} still lacks {', '.join(lacks)}")
    return python
