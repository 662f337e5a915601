"""The rules of Kubernetes' Pod Security Standard "restricted", read against a description of a pod.

Each with the name that it has on https://kubernetes.io/docs/concepts/security/pod-security-standards/
"Restricted" has all rules of "baseline", too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Spec = dict[str, Any]

KINDS_OF_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
SECCOMP = ("RuntimeDefault", "Localhost")
APPARMOR = (None, "", "RuntimeDefault", "Localhost")
SELINUX_TYPES = (None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
VOLUMES = {
    *(
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ),
    *("image",),
}
SYSCTLS = {
    *("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start"),
    *("net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports"),
    *("net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl"),
    *("net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"),
}


def violations(spec: Spec) -> list[str]:
    """Return each rule that a pod breaks, with the container that does."""
    of_pod = spec.get("securityContext", {})
    found = [*pod_rules(spec), *(f"pod: {rule}" for rule in context_rules(of_pod))]
    for kind in KINDS_OF_CONTAINERS:
        for container in spec.get(kind, []):
            own = container.get("securityContext", {})
            rules = [*context_rules(own), *container_rules(container, own, of_pod)]
            found += [f"{container['name']}: {rule}" for rule in rules]
    return found


def pod_rules(spec: Spec) -> Iterator[str]:
    """Yield what the pod itself breaks."""
    if any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")):
        yield "Host Namespaces"
    for volume in spec.get("volumes", []):
        if set(volume) - {"name"} - VOLUMES:
            yield f"Volume Types: {volume['name']}"
    for sysctl in spec.get("securityContext", {}).get("sysctls", []):
        if sysctl["name"] not in SYSCTLS:
            yield "Sysctls"


def context_rules(context: Spec) -> Iterator[str]:
    """Yield what a securityContext breaks, of a pod or of a container."""
    if context.get("windowsOptions", {}).get("hostProcess"):
        yield "HostProcess"
    if context.get("runAsUser") == 0:
        yield "Running as Non-root user"
    if "seccompProfile" in context and context["seccompProfile"].get("type") not in SECCOMP:
        yield "Seccomp"
    if context.get("appArmorProfile", {}).get("type") not in APPARMOR:
        yield "AppArmor"
    selinux = context.get("seLinuxOptions", {})
    if selinux.get("type") not in SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield "SELinux"


def container_rules(container: Spec, own: Spec, of_pod: Spec) -> Iterator[str]:
    """Yield what a container breaks; what it does not say, its pod says."""
    if own.get("privileged"):
        yield "Privileged Containers"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "Privilege Escalation"
    if {**of_pod, **own}.get("runAsNonRoot") is not True:
        yield "Running as Non-root"
    if "seccompProfile" not in {**of_pod, **own}:
        yield "Seccomp"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []) or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "Capabilities"
    if own.get("procMount") not in (None, "Default"):
        yield "/proc Mount Type"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield "Host Ports"
    probes = [container.get(f"{kind}Probe", {}) for kind in ("liveness", "readiness", "startup")]
    hooks = [container.get("lifecycle", {}).get(when, {}) for when in ("postStart", "preStop")]
    actions = [action.get(how, {}) for action in probes + hooks for how in ("httpGet", "tcpSocket")]
    if any(action.get("host") for action in actions):
        yield "Host Probes / Lifecycle Hooks"
