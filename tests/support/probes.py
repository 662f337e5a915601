"""Scripts that run in a container and print what they find there."""

# Saves its state on SIGTERM, which takes a while, and exits with its own code. A second SIGTERM would
# interrupt that.
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
# Prints the writable folders, and the checksums of the certificates of the build and the run.
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
