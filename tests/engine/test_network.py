"""The network of builds and containers: CA_BUNDLE, for every client and in no layer; PUBLIC_INDEX_URL."""

import pytest

from tests.support.engine import change_owner, finish
from tests.support.index_server import package_index
from tests.support.stand_ins import ON_THE_HOST

VARIABLES = ["SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"]
COUNT = 'for v in $*; do eval grep -c marker-of-the-test "\\$$v"; done'


@pytest.fixture
def bundle(tmp_path):
    """A PEM file with a marker; what is in it is not looked at by the scripts that hand it on."""
    path = tmp_path / "company.pem"
    path.write_text("# marker-of-the-test\n")
    return path


def test_every_client_reads_the_system_s_certificates_and_the_extra_ones(project, bundle):
    done = project.run(
        *("docker", "compose", "run", "--rm", "app", "sh", "-c", COUNT, "sh", *VARIABLES),
        CA_BUNDLE=str(bundle),
    )
    system = project.run(
        *("docker", "compose", "run", "--rm", "app", "sh", "-c", "grep -c BEGIN $SSL_CERT_FILE"),
        CA_BUNDLE=str(bundle),
    )

    assert done.stdout.split() == ["1"] * len(VARIABLES), done.stderr
    assert int(system.stdout) > 100


def test_a_server_with_an_extra_certificate_is_trusted(project, tmp_path):
    (project.path / "compose.override.yaml").write_text(ON_THE_HOST)
    with package_index(tmp_path / "tls", {}, None, tls=True) as index:
        read = f"import urllib.request; print(urllib.request.urlopen('{index.root}/simple/').status)"
        command = ("docker", "compose", "run", "--rm", "app", "-c", read)

        trusted = project.run(*command, CA_BUNDLE=str(index.authority))
        other = project.run(*command)

    assert trusted.stdout == "200\n", trusted.stderr
    assert "CERTIFICATE_VERIFY_FAILED" in other.stderr


def test_without_it_nothing_is_set(project):
    done = project.run("docker", "compose", "run", "--rm", "app", "env", CA_BUNDLE="")

    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stdout.splitlines() if line.split("=")[0] in VARIABLES]


def test_one_that_the_user_may_not_read_is_named_in_one_line(docker, image, bundle):
    bundle.chmod(0o600)

    done = finish(
        lambda: docker.run(
            image,
            ["true"],
            user="7777:7777",
            volumes=[(bundle, "/run/secrets/ca", "ro")],
            remove=True,
            stream=True,
        )
    )

    assert (done.code, done.stdout) == (66, "")
    assert (
        done.stderr
        == "with-network: the CA_BUNDLE file cannot be read by uid 7777. On the host: chmod a+r FILE"
    )


def test_one_that_the_user_alone_may_read_is_read_as_that_user(project, image, bundle):
    """compose.yaml leaves root no right to read what is somebody else's."""
    change_owner(project.path, 1234, 5678, image)
    bundle.chmod(0o600)
    change_owner(bundle, 1234, 5678, image)

    done = project.run("docker", "compose", "run", "--rm", "app", "sh", "-c", "id -u", CA_BUNDLE=str(bundle))

    assert (done.returncode, done.stdout.strip()) == (0, "1234"), done.stderr


def test_uv_knows_both_where_no_entrypoint_ran(project, bundle):
    """As in a terminal of VS Code, or after `docker compose exec`."""
    settings = {"CA_BUNDLE": str(bundle), "PUBLIC_INDEX_URL": "https://pypi.example.com/simple"}
    app = ("docker", "compose", "run", "--rm", "--entrypoint", "sh", "app", "-c")

    # `env` in the place of the program
    command = "cp -r /usr/local/lib/uv /tmp && sed -i s:/opt/uv/bin/uv:env: /tmp/uv/program.py"
    command += " && PATH=/opt/venv/bin:$PATH python3 -I /tmp/uv"
    done = project.run(*app, command, **settings)

    assert done.returncode == 0, done.stderr
    environment = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert environment["SSL_CERT_FILE"].startswith("/dev/shm/")
    assert environment["UV_DEFAULT_INDEX"] == environment["PIP_INDEX_URL"] == settings["PUBLIC_INDEX_URL"]


def test_calling_uv_often_fills_no_memory(project, bundle):
    command = "for n in 1 2 3; do uv --version; done; ls /dev/shm | wc -l"

    done = project.run(
        *("docker", "compose", "run", "--rm", "app", "sh", "-c", command),
        CA_BUNDLE=str(bundle),
        USER_ID="1234",
    )

    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) == 1


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        pytest.param("pypi.example.com/simple", "is not a URL that begins with http", id="no scheme"),
        pytest.param(
            "https://corp:s3cr3t@pypi.example.com/simple", "holds an account or a password", id="a login"
        ),
    ],
)
def test_a_mirror_that_cannot_be_used_is_named_in_one_line(project, url, complaint):
    done = project.run("docker", "compose", "run", "--rm", "app", "env", PUBLIC_INDEX_URL=url)

    assert done.returncode == 64
    [line] = [line for line in done.stderr.strip().splitlines() if "wrote uv.lock" not in line]
    assert line.startswith("with-network: PUBLIC_INDEX_URL") and complaint in line
    assert "s3cr3t" not in done.stdout + done.stderr
