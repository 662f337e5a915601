"""What `scale_out` adds: manifests that several Kubernetes versions take, a token that nobody else reads."""

from __future__ import annotations

import functools
import itertools
import re
import stat
import subprocess
import sysconfig
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from capy_template.matrix import load
from tests.conftest import BakedProject
from tests.generation.conftest import COMBINATIONS, sentence
from tests.generation.pod_security import violations

KUBECTL = Path(sysconfig.get_path("scripts"), "kubectl")
# The oldest that has everything in the manifests, some between, the newest with a schema.
VERSIONS = ["1.33", "1.34", "1.35", "1.37"]
KUBERNETES = [
    answers
    for answers in COMBINATIONS
    if answers["scale_out"] == "ray-and-kubernetes"
    and not answers["private_index"]
    and answers["readme_language"] == "en"
]


@pytest.fixture(params=KUBERNETES, ids=sentence)
def manifests(request: pytest.FixtureRequest, projects) -> BakedProject:
    """A project with manifests. Do not change it."""
    return projects[sentence(request.param)]


def render(project: BakedProject, folder: str) -> list[dict[str, Any]]:
    """Return the objects that `kubectl apply --kustomize` would send: what runs, then its network policy."""
    files = sorted(path for path in (project.path / "kubernetes").rglob("*") if path.is_file())
    rendered = kustomized(project, folder, tuple((str(path), path.read_bytes()) for path in files))
    return sorted(yaml.safe_load_all(rendered), key=lambda found: found["kind"] == "NetworkPolicy")


@functools.cache
def kustomized(project: BakedProject, folder: str, _contents: tuple[tuple[str, bytes], ...]) -> str:
    """Return what `kubectl kustomize` writes, once for the same files: most tests read the same projects."""
    done = project.run(str(KUBECTL), "kustomize", f"kubernetes/{folder}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def pod_specs(found: Any) -> Iterator[dict[str, Any]]:
    """Yield each description of a pod in an object, however deep."""
    if isinstance(found, dict):
        if "containers" in found:
            yield found
        found = list(found.values())
    if isinstance(found, list):
        for value in found:
            yield from pod_specs(value)


def selected(policy: dict[str, Any], labels: dict[str, str]) -> bool:
    """Return whether a network policy is for pods with these labels."""
    return policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()


def labels_of_pods(found: Any) -> Iterator[dict[str, str]]:
    """Yield the labels of each template of a pod in an object, however deep."""
    if isinstance(found, dict):
        if "containers" in found.get("spec", {}):
            yield found["metadata"]["labels"]
        found = list(found.values())
    if isinstance(found, list):
        for value in found:
            yield from labels_of_pods(value)


def pod(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a description of a pod as an object of its own, which has a schema."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}


def test_every_environment_has_its_manifests():
    assert {answers["environment"] for answers in KUBERNETES} == set(load()["environments"])


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field(manifests, version):
    job, policy = render(manifests, "base")
    rayjob, policy_of_ray = render(manifests, "overlays/rayjob")

    for known in (job, policy, policy_of_ray):
        kubernetes_validate.validate(known, version, strict=True)
    specs = list(pod_specs(rayjob))
    for spec in specs:
        kubernetes_validate.validate(pod(spec), version, strict=True)
    assert len(specs) == 3  # who submits, the head, the workers


def test_a_field_that_kubernetes_does_not_have_is_found(manifests):
    job, _ = render(manifests, "base")
    job["spec"]["template"]["spec"]["runAsUser"] = 1000

    with pytest.raises(kubernetes_validate.ValidationError, match="runAsUser"):
        kubernetes_validate.validate(job, VERSIONS[-1], strict=True)


def test_the_values_that_no_schema_checks_are_those_that_kubernetes_takes(manifests):
    job, _ = render(manifests, "base")
    spec = job["spec"]

    assert spec["completionMode"] == "Indexed"
    assert spec["template"]["spec"]["restartPolicy"] == "Never"  # backoffLimitPerIndex asks for it
    assert spec["parallelism"] <= spec["completions"]
    [container] = spec["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert container["resources"]["limits"]["cpu"] == container["resources"]["requests"]["cpu"]
    threads = {"name": "OMP_NUM_THREADS", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu"}}}
    assert threads in container["env"]
    assert any("$(JOB_COMPLETION_INDEX)" in argument for argument in container["args"])


@pytest.mark.parametrize("completions", [2, 4])
@pytest.mark.parametrize("environment", ["inference", "full"])
def test_each_picture_is_in_a_part_whatever_the_number_of_containers(bake, environment, completions):
    project = bake(environment=environment, scale_out="ray-and-kubernetes")
    path = project.path / "kubernetes/base/job.yaml"
    path.write_text(path.read_text().replace("completions: 4", f"completions: {completions}"))

    job, _ = render(project, "base")

    [container] = job["spec"]["template"]["spec"]["containers"]
    [part] = [argument for argument in container["args"] if argument.startswith("--part")]
    for variable in container["env"]:  # as Kubernetes does in arguments
        part = part.replace(f"$({variable['name']})", variable.get("value", ""))
    assert part == f"--part=$(JOB_COMPLETION_INDEX)/{completions}"


def test_shared_memory_has_room_for_ray_s_object_store(manifests):
    """Ray takes 30 % of the memory, and less where /dev/shm is smaller."""
    objects = render(manifests, "base") + render(manifests, "overlays/rayjob")
    gib = {}
    for spec in itertools.chain.from_iterable(map(pod_specs, objects)):
        [shm] = [v["emptyDir"]["sizeLimit"] for v in spec["volumes"] if v["name"] == "shm"] or [None]
        for container in spec["containers"]:
            if shm:
                memory = container["resources"]["limits"]["memory"]
                gib[container["name"]] = [int(size.removesuffix("Gi")) for size in (memory, shm)]

    assert set(gib) == {"app", "ray-head", "ray-worker"}
    assert all(shm >= 0.3 * memory for memory, shm in gib.values())


def test_every_container_is_nobody_in_particular_and_has_the_image_of_the_registry(manifests):
    objects = render(manifests, "base") + render(manifests, "overlays/rayjob")

    for spec in itertools.chain.from_iterable(map(pod_specs, objects)):
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"
        volumes = {volume["name"] for volume in spec["volumes"]}
        for container in spec["containers"]:
            assert container["image"] == f"registry.example.com/team/{manifests.path.name}:0.1.0"
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            assert "/tmp" in mounts
            assert set(mounts.values()) <= volumes


def test_every_pod_keeps_the_standard_restricted_and_has_no_key_to_the_cluster(manifests):
    """Also those that the operator makes of them."""
    objects = render(manifests, "base") + render(manifests, "overlays/rayjob")
    specs = list(itertools.chain.from_iterable(map(pod_specs, objects)))

    assert len(specs) == 4
    for spec in specs:
        assert violations(spec) == []
        assert spec["automountServiceAccountToken"] is False


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda spec, _: spec.update(hostNetwork=True), "Host Namespaces"),
        (lambda spec, _: spec["volumes"].append({"name": "x", "hostPath": {"path": "/"}}), "Volume Types: x"),
        (lambda spec, _: spec["securityContext"].pop("runAsNonRoot"), "Running as Non-root"),
        (lambda spec, _: spec["securityContext"].pop("seccompProfile"), "Seccomp"),
        (lambda spec, _: spec["securityContext"].update(runAsUser=0), "Running as Non-root user"),
        (lambda _, own: own.update(privileged=True), "Privileged Containers"),
        (lambda _, own: own.pop("allowPrivilegeEscalation"), "Privilege Escalation"),
        (lambda _, own: own["capabilities"].update(drop=["NET_RAW"]), "Capabilities"),
        (lambda _, own: own["capabilities"].update(add=["SYS_ADMIN"]), "Capabilities"),
        (lambda _, own: own.update(seccompProfile={"type": "Unconfined"}), "Seccomp"),
        (lambda _, own: own.update(procMount="Unmasked"), "/proc Mount Type"),
    ],
)
def test_what_breaks_the_standard_is_found(manifests, change, rule):
    job, _ = render(manifests, "base")
    spec = job["spec"]["template"]["spec"]
    change(spec, spec["containers"][0]["securityContext"])

    assert [found.removeprefix("pod: ").removeprefix("app: ") for found in violations(spec)] == [rule]


def test_nobody_else_opens_a_connection_to_a_pod(manifests):
    """Network policies add up: what one of them lets in is in. No other pod than ours has the labels."""
    job, policy = render(manifests, "base")
    rayjob, policy_of_ray = render(manifests, "overlays/rayjob")
    [of_job], of_ray = list(labels_of_pods(job)), list(labels_of_pods(rayjob))

    assert len(of_ray) == 3
    assert selected(policy, of_job) and not any(selected(policy, labels) for labels in of_ray)
    assert all(selected(policy_of_ray, labels) for labels in of_ray) and not selected(policy_of_ray, of_job)
    assert policy["spec"]["policyTypes"] == policy_of_ray["spec"]["policyTypes"] == ["Ingress"]
    assert "ingress" not in policy["spec"]
    among_themselves, operator = policy_of_ray["spec"]["ingress"]
    assert among_themselves == {"from": [{"podSelector": policy_of_ray["spec"]["podSelector"]}]}
    assert operator["ports"] == [{"port": 8265}]  # where it asks how the job is


def test_a_ray_cluster_in_kubernetes_is_the_one_of_the_image(manifests):
    rayjob, _ = render(manifests, "overlays/rayjob")
    cluster = rayjob["spec"]["rayClusterSpec"]
    pinned = {str(item.specifier) for item in manifests.requirements() if item.name == "ray"}

    assert pinned == {f"=={cluster['rayVersion']}"}
    assert cluster["authOptions"] == {"mode": "token"}
    script = rayjob["spec"]["entrypoint"].split()[1]
    assert (manifests.path / script).is_file()


@pytest.mark.parametrize("project", ["a" * 50, f"{'a' * 42}_{'b' * 7}", "my_project"])
def test_the_names_of_a_project_fit_whatever_its_length(bake, project):
    """KubeRay takes 47 characters (its validation.go, read), and makes a Job of that name beside base's."""
    made = bake(project=project, scale_out="ray-and-kubernetes")
    job, policy = render(made, "base")
    rayjob, policy_of_ray = render(made, "overlays/rayjob")
    name, shared = rayjob["metadata"]["name"], job["metadata"]["name"]

    assert shared == policy["metadata"]["name"] == project.replace("_", "-")
    assert len(name) <= 47
    assert name.startswith(shared[:42])
    assert name.endswith("-ray")
    assert name not in (shared, policy["metadata"]["name"])
    assert f"kubectl logs --follow job/{name}\n" in made.read("kubernetes/overlays/rayjob/rayjob.yaml")
    # an Indexed Job's pods have its name and a number as their host name
    names = [name, f"{shared}-{job['spec']['completions'] - 1}", policy_of_ray["metadata"]["name"]]
    labels = [value for found in (job, rayjob) for each in labels_of_pods(found) for value in each.values()]
    for label in names + labels:
        assert re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", label), label
        assert "--" not in label
    assert all(selected(policy_of_ray, of_ray) for of_ray in labels_of_pods(rayjob))
    assert not any(selected(policy, of_ray) for of_ray in labels_of_pods(rayjob))


@pytest.mark.parametrize(
    ("environment", "result"), [("inference", "/cache/edges"), ("full", "/cache/predictions")]
)
def test_the_page_names_a_result_after_what_it_is(projects, environment, result):
    ray = {**COMBINATIONS[0], "environment": environment, "scale_out": "ray"}
    page = projects[sentence(ray)].read("docs/scale-out.md")

    assert re.findall(r"predict\.py /cache/pictures --output (\S+)", page) == [result]


@pytest.fixture
def with_ray(bake) -> BakedProject:
    """A project with `scale_out=ray`, to change."""
    return bake(scale_out="ray")


def test_the_machines_of_a_cluster_meet_at_the_head_s_address(with_ray):
    """compose.ray.yaml, which no test starts: it needs several machines."""
    services = yaml.safe_load(with_ray.read("compose.ray.yaml"))["services"]
    head, worker = (options(services[name]["command"]) for name in ("ray-head", "ray-worker"))
    dashboards = [service["environment"]["RAY_API_SERVER_ADDRESS"] for service in services.values()]

    assert re.fullmatch(rf"\$\{{RAY_HEAD:-[\w.]+\}}:{head['--port']}", worker["--address"])
    assert head["--node-ip-address"] == head["--dashboard-host"] == "${RAY_HEAD:-127.0.0.1}"
    # Ray's default port
    assert dashboards == [f"http://{head['--dashboard-host']}:8265"] * len(services)
    assert {service["network_mode"] for service in services.values()} == {"host"}


def options(command: list[str]) -> dict[str, str]:
    """Return the options of a command with their values."""
    return dict(word.split("=", 1) for word in command if "=" in word)


def make_token(project: BakedProject, umask: str = "022") -> subprocess.CompletedProcess[str]:
    """Run docker/ray-token.sh from another folder."""
    script = project.path / "docker/ray-token.sh"
    return project.run("sh", "-c", f"umask {umask}; cd /; sh '{script}'")


def test_a_token_is_long_and_only_its_owner_may_read_it(with_ray):
    done = make_token(with_ray, umask="000")

    token = with_ray.path / ".ray-token"
    assert done.returncode == 0, done.stderr
    assert len(token.read_text()) == 64
    assert int(token.read_text(), 16) > 0
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert token.read_text() not in done.stdout


def test_an_exported_cdpath_leads_the_token_nowhere_else(with_ray, tmp_path):
    (tmp_path / "elsewhere/docker").mkdir(parents=True)

    done = with_ray.run("sh", "docker/ray-token.sh", CDPATH=str(tmp_path / "elsewhere"))

    assert done.returncode == 0, done.stderr
    assert (with_ray.path / ".ray-token").is_file()
    assert not (tmp_path / "elsewhere/.ray-token").exists()


def test_without_random_bytes_there_is_no_token(with_ray, tmp_path):
    """Rather than an empty one."""
    (tmp_path / "od").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "od").chmod(0o755)

    done = with_ray.run("sh", "-c", f"PATH='{tmp_path}':$PATH sh docker/ray-token.sh")

    assert done.returncode != 0
    assert not (with_ray.path / ".ray-token").exists()


def test_a_second_token_does_not_take_the_place_of_the_first(with_ray):
    make_token(with_ray)
    first = with_ray.read(".ray-token")

    done = make_token(with_ray)

    assert with_ray.read(".ray-token") == first
    assert "was kept" in done.stdout
    assert [path.name for path in with_ray.path.glob(".ray-token*")] == [".ray-token"]


def test_the_token_is_not_written_through_a_link(with_ray, tmp_path):
    """A script in a container could lead it to any file of the host."""
    target = tmp_path / "profile"
    target.write_text("mine")
    (with_ray.path / ".ray-token").symlink_to(target)

    make_token(with_ray)

    assert target.read_text() == "mine"


def test_nor_through_a_link_with_the_name_that_it_has_at_first(with_ray, tmp_path):
    """It is another one each time."""
    (tmp_path / "mv").write_text(f"#!/bin/sh\necho \"$1\" >> '{tmp_path}/names'\n")
    (tmp_path / "mv").chmod(0o755)

    for _ in range(2):
        done = with_ray.run("sh", "-c", f"PATH='{tmp_path}':$PATH sh docker/ray-token.sh")
        assert done.returncode == 0, done.stderr

    first, second = (tmp_path / "names").read_text().split()
    assert first != second


def test_two_projects_have_two_tokens(bake):
    projects = [bake(project=name, scale_out="ray") for name in ("one", "two")]
    for project in projects:
        make_token(project)

    assert projects[0].read(".ray-token") != projects[1].read(".ray-token")


def test_neither_git_nor_an_image_gets_the_token(with_ray):
    for name in (".gitignore", ".dockerignore"):
        patterns = [line.removeprefix("**/") for line in with_ray.read(name).splitlines()]
        for file in (".ray-token", ".ray-token.Xy12Zw"):
            assert any(fnmatch(file, pattern) for pattern in patterns), (name, file)
