"""The checks of the limits that an engine sets; and of GPUs that a container has lost."""

import resource
from errno import EPERM

import pytest
from doctor import gpu, limits

MIB = 2**20
FINE = {
    resource.RLIMIT_NOFILE: 65536,
    resource.RLIMIT_STACK: 8 * MIB,
    resource.RLIMIT_MEMLOCK: 8 * MIB,
}


@pytest.fixture
def limited(machine, monkeypatch):
    """limited(kind, soft): what the doctor says where one limit is another one."""
    monkeypatch.setattr(limits, "INFINIBAND", machine.root / "dev/infiniband")

    def problems(kind: int, soft: int) -> str:
        values = {**FINE, kind: soft}
        monkeypatch.setattr(resource, "getrlimit", lambda asked: (values[asked], -1))
        return machine.problems("limits")

    return problems


@pytest.mark.parametrize("kind", FINE)
@pytest.mark.parametrize("soft", [None, resource.RLIM_INFINITY])
def test_usual_limits_and_none_at_all_are_fine(limited, kind, soft):
    assert limited(kind, soft or FINE[kind]) == ""


@pytest.mark.parametrize(
    ("kind", "soft", "line"),
    [
        (resource.RLIMIT_NOFILE, 1024, "ulimits: {nofile: 65536} into compose.project.yaml"),
        (resource.RLIMIT_STACK, MIB, "ulimits: {stack: 67108864} into compose.project.yaml"),
    ],
)
def test_a_low_limit_is_named_with_the_line_to_type(limited, kind, soft, line):
    assert line in limited(kind, soft)


@pytest.mark.parametrize(("soft", "fine"), [(8 * MIB, False), (resource.RLIM_INFINITY, True)])
def test_infiniband_needs_all_memory_to_be_locked(limited, machine, soft, fine):
    (machine.root / "dev/infiniband").mkdir()

    problems = limited(resource.RLIMIT_MEMLOCK, soft)

    assert fine == (problems == "")
    assert fine or "ulimits: {memlock: -1}" in problems


def test_a_gpu_that_the_engine_took_away_is_named(machine, monkeypatch):
    machine.gpu()

    def refuse(path, flags):
        raise OSError(EPERM, "Operation not permitted")

    monkeypatch.setattr(gpu.os, "open", refuse)

    problems = machine.problems("gpu")

    assert "nvidia0 cannot be opened: operation not permitted" in problems
    assert "docker compose restart" in problems and "native.cgroupdriver=cgroupfs" in problems


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("compute,utility", ""),
        ("all", ""),
        ("", ""),
        ("video", "NVIDIA_DRIVER_CAPABILITIES: compute,utility,video"),
        ("compute,graphics", "NVIDIA_DRIVER_CAPABILITIES: compute,utility,graphics"),
    ],
)
def test_driver_capabilities_without_compute_are_named(machine, monkeypatch, asked, wanted):
    machine.gpu()
    monkeypatch.setenv("NVIDIA_DRIVER_CAPABILITIES", asked)

    problems = machine.problems("gpu")

    assert (problems == "") == (wanted == "")
    assert wanted in problems
