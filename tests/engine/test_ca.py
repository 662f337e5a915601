"""CA_BUNDLE: more certificates to trust, for every client, in every container, and in no layer."""

import pytest

from tests.engine_fixtures import finish

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
    assert done.stderr == "with-network: the file that CA_BUNDLE names cannot be read by uid 7777"
