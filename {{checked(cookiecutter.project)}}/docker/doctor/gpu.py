"""Check this machine's GPU and driver, and the frameworks' kernels for them."""

from __future__ import annotations

import errno
import os
import platform
import re
import subprocess
from pathlib import Path

from .facts import WITHOUT_GPU, Facts
from .findings import Findings, ok, problem, skipped
from .installed import distribution_of, verified, version_tuple
from .processes import python, run

DEVICES = Path("/dev")
# Tegra GPUs only run code for their own architecture.
JETSON = ("5.3", "6.2", "7.2", "8.7", "11.0")
KERNEL_DRIVER = Path("/proc/driver/nvidia/version")

TOOLKIT = (
    "on the host: nvidia-smi; if that works: sudo nvidia-ctk runtime configure --runtime=docker "
    "&& sudo systemctl restart docker"
)
NVIDIA_SMI_ERRORS = {
    "mismatch": "reboot the host: its driver was updated",
    "No devices": "on the host: sudo dmesg | grep NVRM; RTX 50, B200 and GB200 need the open "
    "kernel modules (Ubuntu: nvidia-driver-580-open), V100, P100 and GTX 10 NVIDIA's own",
}
PODMAN = "with Podman, remove ACCELERATOR from .env, then: sh docker/write-env.sh"


def check_gpu(facts: Facts) -> Findings:
    """Check that the container has a GPU."""
    asked = os.environ.get("NVIDIA_VISIBLE_DEVICES", "")
    if devices := gpu_devices():
        errors = {device: opening_error(device) for device in devices}
        refused = ", ".join(str(device) for device in devices if errors[device])
        # a Slurm job sees every GPU, and may open its own
        if all(errors.values()) and errno.EPERM in errors.values():
            yield problem(
                f"{refused} cannot be opened: operation not permitted",
                "CUDA fails; `systemctl daemon-reload` on the host takes the GPU away from running "
                "containers, and no-cgroups = true from every one",
                "start the container again (docker compose restart, Rebuild Container); if a new "
                "container has it, too, on the host: no-cgroups = false in /etc/nvidia-container-"
                'runtime/config.toml; else, to prevent it: "exec-opts": '
                '["native.cgroupdriver=cgroupfs"] in /etc/docker/daemon.json && '
                "sudo systemctl restart docker",
            )
        elif all(errors.values()):
            yield problem(
                f"{refused} cannot be opened: {os.strerror(errors[devices[0]]).lower()}",
                "CUDA fails",
                f"write group_add: [{devices[0].stat().st_gid}] into compose.project.yaml; if that "
                "is 0, on the host: ls -l /dev/nvidia*",
            )
        elif error := nvidia_smi("driver_version")[1]:
            yield problem(
                f"nvidia-smi fails: {error}",
                "CUDA fails, too",
                next((way for words, way in NVIDIA_SMI_ERRORS.items() if words in error), TOOLKIT),
            )
        else:
            usable = ", ".join(str(device) for device in devices if not errors[device])
            yield ok(usable + (f"; not for this container: {refused}" if refused else ""))
        yield from driver_capabilities()
    elif asked in ("", "none", "void"):
        yield problem(
            "there is no GPU in this container, and none was requested",
            "everything would run on the CPU",
            f"docker compose run --rm app, or docker run --gpus all; {PODMAN}; {WITHOUT_GPU}",
        )
    else:  # NVIDIA's images set the variable, so a GPU may not have been requested
        yield problem(
            f"NVIDIA_VISIBLE_DEVICES={asked}, but there is no GPU in this container",
            "everything would run on the CPU",
            f"docker run: add --gpus all; docker compose: {TOOLKIT}; {PODMAN}; {WITHOUT_GPU}",
        )


def driver_capabilities() -> Findings:
    """Check that NVIDIA_DRIVER_CAPABILITIES includes CUDA and nvidia-smi."""
    asked = os.environ.get("NVIDIA_DRIVER_CAPABILITIES", "")
    names = asked.split(",")
    missing = [name for name in ("compute", "utility") if name not in names]
    if asked and "all" not in names and missing:
        wanted = ",".join(dict.fromkeys(["compute", "utility", *names]))
        yield problem(
            f"NVIDIA_DRIVER_CAPABILITIES={asked} lacks {' and '.join(missing)}",
            "CUDA needs compute, nvidia-smi needs utility; `capabilities: [gpu, video]` in a "
            "Compose file sets it to video only",
            "remove that line and write below environment in compose.project.yaml: "
            f"NVIDIA_DRIVER_CAPABILITIES: {wanted}",
        )


def opening_error(device: Path) -> int:
    """Return why a device cannot be opened, 0 if it can.

    EPERM is from the engine's device rules, EACCES from the file's mode.
    """
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return error.errno if error.errno in (errno.EPERM, errno.EACCES) else 0
    return 0


def check_driver(facts: Facts) -> Findings:
    """Check that the host's driver is new enough for this CUDA."""
    version, need = driver_version(), facts.minimum_driver
    if version and version_tuple(version) >= version_tuple(need):
        if gpu_devices() and nvidia_smi("driver_version")[1]:
            yield skipped(f"{version} on the host, but nvidia-smi fails (see gpu)")
            return
        yield ok(f"{version} ({need} or newer is needed)")
    elif version and driver_supports(facts.cuda):
        yield ok(f"{version}, older than {need}: CUDA {facts.cuda} by forward compatibility")
    elif version:
        yield problem(
            f"the driver {version} is too old: {need} or newer is needed",
            f"CUDA {facts.cuda} does not work with it",
            "; ".join([newer_driver(facts), WITHOUT_GPU, *facts.other_project(below=facts.cuda)]),
        )
    elif gpu_devices():
        yield problem(
            f"the driver's version is unknown: no nvidia-smi, no {KERNEL_DRIVER}",
            "the driver's libraries are missing in this container",
            TOOLKIT,
        )
    else:
        yield skipped("not found, as there is no GPU (see gpu)")


def check_kernels(facts: Facts) -> Findings:
    """Check that each framework has kernels for each GPU."""
    gpus = dict.fromkeys((name, capability) for capability, name in query_gpus())
    if not gpus:
        yield skipped("nvidia-smi names no GPU (see gpu)")
    for framework, framework_facts in facts.frameworks.items() if gpus else ():
        architectures = framework_facts["architectures"].get(platform.machine())
        if not architectures or verified(distribution_of(framework, facts), facts):
            architectures = torch_architectures() if framework == "torch" else []
        if not architectures:
            yield skipped(f"not known for this version of {framework}")
            continue
        lacking = [
            f"{name} ({c})" for name, c in gpus if not any(supports(a, c) for a in architectures)
        ]
        if lacking:
            yield problem(
                f"{framework} has no kernels for {', '.join(lacking)}, "
                f"only for {', '.join(architectures)} on {platform.machine()}",
                'it stops with "no kernel image is available for execution on the device"',
                "; ".join(
                    [f"take another GPU: {gpu_setting()}", WITHOUT_GPU, *facts.other_project()]
                ),
            )
        else:
            yield ok(f"{framework}: {', '.join(f'{name} ({c})' for name, c in gpus)}")


def torch_architectures() -> list[str]:
    """Return the architectures that torch lists: sm_90 is 9.0, compute_120 is 12.0+PTX."""
    printed, _ = python("import torch; print(*torch.cuda.get_arch_list())")
    named = re.findall(r"\b(sm|compute)_(\d+)(\d)([af]?)\b", printed)
    return [
        f"{major}.{minor}{suffix}" + ("+PTX" if kind == "compute" else "")
        for kind, major, minor, suffix in named
    ]


def gpu_devices() -> list[Path]:
    """Return the device file of each GPU; on WSL 2, one file for all."""
    return [*sorted(DEVICES.glob("nvidia[0-9]*")), *DEVICES.glob("dxg")]


def on_wsl() -> bool:
    """Return whether this is WSL 2, where a container has every GPU."""
    return (DEVICES / "dxg").exists()


def gpu_setting() -> str:
    """Return the setting that chooses a GPU."""
    if on_wsl():
        return "CUDA_VISIBLE_DEVICES below environment in compose.project.yaml"
    return "GPU_IDS in .env"


def newer_driver(facts: Facts) -> str:
    """Return the advice to update the driver; 580 is the last for the oldest GPUs of CUDA 12."""
    limit = " (V100, P100 and GTX 10: at most 580)" if facts.cuda < 13 else ""
    return f"on the host: install a newer NVIDIA driver{limit}"


def query_gpus() -> list[list[str]]:
    """Return compute capability and name of each GPU from nvidia-smi."""
    gpus = [line.split(", ", 1) for line in nvidia_smi("compute_cap,name")[0]]
    return [gpu for gpu in gpus if len(gpu) == 2 and re.fullmatch(r"\d+\.\d+", gpu[0])]


def nvidia_smi(fields: str) -> tuple[list[str], str]:
    """Return nvidia-smi's output, one line a GPU among warnings, and the first line of an error.

    Both are empty if there is no nvidia-smi.
    """
    try:
        answer = run(["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"])
    except OSError:
        return [], ""
    except subprocess.TimeoutExpired as error:
        return [], f"no answer within {error.timeout:.0f} s"
    if answer.returncode in (0, 14):  # 14: the GPU's infoROM is corrupted, which CUDA does not need
        return answer.stdout.splitlines(), ""
    text = f"{answer.stdout}\n{answer.stderr}".strip() or f"exit code {answer.returncode}"
    return [], text.splitlines()[0].strip()


def driver_supports(cuda: int) -> bool:
    """Return whether an old driver supports this CUDA by forward compatibility."""
    script = (
        "import ctypes, sys; version = ctypes.c_int(); driver = ctypes.CDLL('libcuda.so.1')\n"
        "if error := driver.cuInit(0): sys.exit(f'cuInit returns {error}')\n"  # 804: not with it
        "driver.cuDriverGetVersion(ctypes.byref(version)); print(version.value // 1000)"
    )
    printed, error = python(script)
    return not error and int(printed.split()[-1]) >= cuda  # sitecustomize may print, too


def driver_version() -> str:
    """Return the version of the driver, "" if unknown."""
    for line in nvidia_smi("driver_version")[0]:
        if re.fullmatch(r"\d+(\.\d+)+", line.strip()):
            return line.strip()
    text = KERNEL_DRIVER.read_text(encoding="utf-8") if KERNEL_DRIVER.is_file() else ""
    version = re.search(r"\b\d{3,}\.\d+(\.\d+)?\b", text)
    return version[0] if version else ""


def supports(architecture: str, capability: str) -> bool:
    """Return whether code for `architecture` runs on a GPU of this compute capability.

    8.6 runs on 8.6 to 8.9; 9.0a on 9.0 alone; 12.0+PTX on 12.0 and everything newer.
    """
    built, gpu = version_tuple(architecture), version_tuple(capability)
    if architecture.endswith("+PTX"):
        return gpu >= built
    if architecture.endswith("a") or capability in JETSON:
        return gpu == built
    return gpu >= built and gpu[0] == built[0]
