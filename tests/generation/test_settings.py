"""The settings: .env.example explains what the Compose files read, no more, no less, no other."""

from __future__ import annotations

import re

import yaml

from tests.conftest import BakedProject

# ${NAME:-default}: the only form that the template uses, so that an empty value is the default, too.
REFERENCE = re.compile(r"\$\{([A-Z_]+):-([^}]*)\}")
# NAME: without a value, below `environment:`; Compose hands it on if it is set.
HANDED_ON = re.compile(r"(?m)^      ([A-Z_]+):$")
SECRET = re.compile(r"(?m)^ +environment: ([A-Z_]+)$")
PASSED_ON = re.compile(r"(?m)^ +([A-Za-z]+_(?:PROXY|proxy)):$")
COMPOSE_FILES = (
    "compose.yaml",
    "compose.guarded.yaml",
    "compose.project.yaml",
    "compose.ray*.yaml",
    "docker/*.yaml",
    ".devcontainer/compose.yaml",
)


def test_every_setting_of_the_compose_files_is_in_env_example_and_no_other(project):
    used = {name for text in compose_files(project).values() for name, _ in REFERENCE.findall(text)}
    used |= set(SECRET.findall(compose_files(project)["compose.yaml"]))
    used |= set(HANDED_ON.findall(project.read("docker/machine.yaml").partition("environment:")[2]))

    assert set(dotenv(project)) == used


def test_what_is_passed_on_without_a_default_is_named_in_env_example(project):
    """An empty line for it would win over the settings of Docker's client."""
    passed_on = set(PASSED_ON.findall(project.read("docker/machine.yaml").partition("environment:")[0]))

    heading = project.read(".env.example").partition("\n\n")[0]

    assert {"HTTP_PROXY", "https_proxy"} < passed_on
    assert passed_on == set(project.read("docker/proxies.txt").splitlines()[1:])
    assert passed_on <= set(re.findall(r"\w+_(?:PROXY|proxy)", heading))
    assert not passed_on & set(dotenv(project))


def test_every_setting_of_the_compose_files_has_a_default(project):
    dollars = {name: text.count("$") for name, text in compose_files(project).items()}

    with_default = {name: len(REFERENCE.findall(text)) for name, text in compose_files(project).items()}

    assert with_default == dollars


def test_the_guarded_service_has_a_cache_of_its_own_and_no_secret_but_certificates(project):
    guarded = yaml.safe_load(project.read("compose.guarded.yaml"))
    app = guarded["services"]["app"]

    assert app["build"]["args"]["BUILDKIT_CACHE_MOUNT_NS"] == f"${{BUILD_CACHE:-{project.path.name}}}-guarded"
    assert app["secrets"] == app["build"]["secrets"] == [*guarded["secrets"]] == ["ca"]
    assert not {"PYPI_ACCOUNT", "PYPI_PASSWORD"} & (app["environment"].keys() | app["build"]["args"].keys())


def test_env_example_copied_as_it_is_changes_nothing(project):
    example = dotenv(project)

    for name, text in compose_files(project).items():
        assert substituted(text, example) == substituted(text, {}), name


def test_every_setting_in_env_example_is_explained_above_it(project):
    paragraphs = re.split(r"\n{2,}", project.read(".env.example").strip())

    heading, *settings = paragraphs

    assert heading.startswith("#")
    for paragraph in settings:
        assert re.fullmatch(r"(# .+\n)+([A-Z_]+=.*\n?)+", paragraph), paragraph


def test_a_setting_reaches_the_compose_file(project):
    files = project.read("compose.yaml") + project.read("docker/machine.yaml")
    resolved = substituted(files, {"ACCELERATOR": "cpu", "USER_ID": "1234"})

    assert "file: accelerator-cpu.yaml" in resolved
    assert "USER_ID: 1234" in resolved


def compose_files(project: BakedProject) -> dict[str, str]:
    """Return the text of every file that Compose reads, without comments and $$, the shell's own."""
    return {
        path.relative_to(project.path).as_posix(): re.sub(r"(?m)^\s*#.*$|\$\$", "", path.read_text())
        for pattern in COMPOSE_FILES
        for path in project.path.glob(pattern)
    }


def dotenv(project: BakedProject) -> dict[str, str]:
    """Return the settings in .env.example, read in the plainest way: no quotes, nothing behind."""
    settings = {}
    for line in project.read(".env.example").splitlines():
        if line and not line.startswith("#"):
            found = re.fullmatch(r"([A-Z_]+)=([^\s\"'#$]*)", line)
            assert found, f"not NAME=value: {line}"
            assert found[1] not in settings, f"twice: {line}"
            settings[found[1]] = found[2]
    return settings


def substituted(text: str, settings: dict[str, str]) -> str:
    """Return a Compose file's text with its variables replaced as Compose does it."""
    return REFERENCE.sub(lambda found: settings.get(found[1]) or found[2], text)
