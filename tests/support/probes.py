"""Scripts that run in a container and tell what it is like there."""

# Saves its state at SIGTERM, which takes a while, and ends with a code of its own. A second SIGTERM
# would interrupt that, or kill Python on its way out.
PATIENT = """
import pathlib, signal, sys, time
def save(*_):
    with pathlib.Path("outputs/saved").open("a") as saved:
        saved.write("x")
    time.sleep(0.5)
    sys.exit(42)
signal.signal(signal.SIGTERM, save)
pathlib.Path("outputs/ready").write_text("x")
time.sleep(300)
"""
# Prints which folders took a file, and the checksums of the certificates that the build and the run have.
PROBE = """
import json, os, pathlib, site, subprocess
def takes(folder):
    try:
        pathlib.Path(folder, "made").write_text("x")
        return True
    except OSError as error:
        return str(error)
build, run = pathlib.Path("/opt/ca-of-the-build"), pathlib.Path("/run/secrets/ca")
print(json.dumps({
    "who": f"{os.getuid()}:{os.getgid()}",
    "packages": takes(site.getsitepackages()[0]),
    "cache": takes("/cache"),
    "build": build.read_text().split() if build.exists() else [],
    "run": subprocess.run(["cksum"], stdin=run.open(), capture_output=True, text=True).stdout.split(),
}))
"""
