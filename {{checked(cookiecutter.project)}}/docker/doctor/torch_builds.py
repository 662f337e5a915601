"""Check that packages linked with PyTorch were built for the installed PyTorch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from .cuda_builds import TORCH_LIBRARY
from .distributions import Distribution
from .facts import REBUILD, Facts
from .findings import Finding, Findings, ok, problem, remark, skipped
from .installed import below_site
from .requirement import required_by, required_names, requirements
from .shared_objects import SharedObjects, scan
from .version import release

CUDA_PART = re.compile(r"lib(torch|c10)_cuda(_\w+)?\.so")
# flash-attn 2.7.4+cu12torch2.5, torch-scatter 2.1.2+pt25cu121
BUILT_FOR = re.compile(r"(?:torch(\d+)\.(\d+))|(?:pt(\d)(\d+)(?=cu|cpu|$))")
SYMPTOMS = {
    "torchvision": "operator torchvision::nms does not exist",
    "torchaudio": "it cannot load libtorchaudio",
}
UNDEFINED = "its modules fail with an undefined symbol on import"


def check_torch_builds(facts: Facts) -> Findings:
    """Check torchvision, torchaudio and every other package linked with PyTorch."""
    objects = scan(facts)
    torch = objects.distributions.get("torch")
    if not torch:
        yield skipped("torch is not installed")
        return
    fine = []
    for distribution in objects.ours.values():
        if distribution == torch:
            continue
        linked = linked_with_torch(distribution, objects)
        findings = [*mismatches(facts, torch, distribution, linked, objects)]
        fine += [str(distribution)] if linked and not findings else []
        yield from findings
    yield ok(", ".join([str(torch), *fine]))


def linked_with_torch(distribution: Distribution, objects: SharedObjects) -> list[str]:
    """Return the shared objects of a package that need PyTorch's."""
    paths = (path for path in distribution.shared_objects if path in objects.files)
    return [path for path in paths if any(map(TORCH_LIBRARY.match, objects.files[path].needed))]


def mismatches(
    facts: Facts,
    torch: Distribution,
    distribution: Distribution,
    linked: list[str],
    objects: SharedObjects,
) -> Iterator[Finding]:
    """Yield a problem if a package does not match the installed PyTorch's version or CUDA."""
    why = SYMPTOMS.get(distribution.name, UNDEFINED)
    if built_for := other_torch(torch, distribution, linked):
        yield problem(
            f"{distribution} is built for torch {built_for}; installed is {torch}",
            why,
            f"write {distribution.name} for torch {release(torch.version)} into pyproject.toml; "
            f"{required_by(distribution.name)}; then: {REBUILD}",
        )
    elif linked and "libtorch_cuda.so" not in objects.names:
        parts = [p for p in linked if any(map(CUDA_PART.match, objects.files[p].needed))]
        if not parts:
            return
        part = below_site(Path(parts[0]))
        found = f"{distribution} is built for CUDA ({part}); {torch} is built without CUDA"
        if distribution.name.startswith("torch") or "torch" in required_names(distribution):
            yield problem(found, why, same_index(distribution, torch))
        else:
            yield remark(f"{found}: that part of it cannot be used")
    elif facts.on_gpu and without_cuda(distribution, linked, objects):
        yield problem(
            f"{distribution} is a build without CUDA; {torch} is for CUDA",
            "its operators fail with tensors on the GPU",
            same_index(distribution, torch),
        )


def other_torch(torch: Distribution, distribution: Distribution, linked: list[str]) -> str:
    """Return the version of PyTorch that a package was built for, "" for the installed one."""
    if match := BUILT_FOR.search(distribution.local_version):
        version = ".".join(filter(None, match.groups()))
        return "" if f"{release(torch.version)}.".startswith(f"{version}.") else version
    for requirement in requirements(distribution) if linked else ():
        # NVIDIA's 2.14.0a0 counts as 2.14.0
        if requirement.name == "torch" and requirement.applies():
            return "" if requirement.allows(release(torch.version)) else requirement.versions
    return ""


def without_cuda(distribution: Distribution, linked: list[str], objects: SharedObjects) -> bool:
    """Return whether a package has operators for the CPU only."""
    if re.match(r"(pt\d+)?cpu", distribution.local_version):
        return bool(linked)
    needed = {name for path in linked for name in objects.files[path].needed}
    if distribution.name != "torchvision" or not linked:
        return False
    return not any(map(CUDA_PART.match, needed))


def same_index(distribution: Distribution, torch: Distribution) -> str:
    """Return what to type to get a package from the same index as PyTorch."""
    return (
        f"take {distribution.name} from the same index as torch: copy torch's entry in "
        f"[tool.uv.sources] of pyproject.toml for it; {REBUILD}"
    )
