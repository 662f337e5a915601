"""The entrypoint's first table: started as whom, with which ids, it runs as whom."""

import getpass
import os

import pytest

from tests.support.engine import change_owner

WHO = (
    "import getpass, os; from pathlib import Path;"
    "(Path.home() / 'x').touch();"
    "name, home = getpass.getuser(), Path.home();"
    "assert os.getuid() == 0 or (os.environ['USER'], os.environ['LOGNAME']) == (name, name);"
    "print(os.getuid(), os.getgid(), name, home);"
    "print('groups', *sorted({os.getgid(), *os.getgroups()}))"
)
TOUCH = "from pathlib import Path; Path('made').touch()"
BOTH = {"USER_ID": "1234", "GROUP_ID": "5678"}


@pytest.fixture
def who(start):
    """who(**options): 'uid gid user home' and the set of groups of a command in the container."""

    def run(**options) -> tuple[str, set[str]]:
        done = start("-c", WHO, **options)
        assert done.code == 0, done.stderr
        me, groups = done.stdout.splitlines()
        return me, set(groups.split()[1:])

    return run


@pytest.mark.parametrize(
    ("owner", "envs", "ids"),
    [
        pytest.param((4321, 8765), BOTH, "1234 5678", id="both set"),
        pytest.param((4321, 8765), {}, "4321 8765", id="none set: the owner of /code"),
        pytest.param((4321, 8765), {"USER_ID": "", "GROUP_ID": ""}, "4321 8765", id="both empty"),
        pytest.param((4321, 8765), {"USER_ID": "1234"}, "1234 8765", id="only USER_ID"),
        pytest.param((4321, 8765), {"GROUP_ID": "5678"}, "4321 5678", id="only GROUP_ID"),
        pytest.param((0, 0), BOTH, "1234 5678", id="both set in a folder of root"),
        pytest.param((1000, 1000), {}, "1000 1000", id="a uid that the image has"),
        pytest.param((33, 20), {}, "33 20", id="a uid and a gid that have other names in the image"),
        pytest.param((1900000001, 1900000513), {}, "1900000001 1900000513", id="ids of a directory"),
        pytest.param((2147483647, 2147483647), {}, "2147483647 2147483647", id="the highest ids"),
    ],
)
def test_root_becomes_the_wanted_user(who, owner, envs, ids):
    me, groups = who(owner=owner, envs=envs)

    assert me == f"{ids} app /home/app"
    assert groups == {ids.split()[1]}  # root's group opens root's files of a mounted folder


@pytest.mark.parametrize(
    ("owner", "envs"),
    [
        pytest.param((4321, 8765), {"USER_ID": "0"}, id="USER_ID=0"),
        pytest.param((4321, 8765), {"USER_ID": "0", "GROUP_ID": "0"}, id="both 0"),
        pytest.param((0, 0), {}, id="/code belongs to root"),
    ],
)
def test_root_stays_root(who, owner, envs):
    me, _ = who(owner=owner, envs=envs)

    assert me == "0 0 root /root"


def test_a_line_break_and_a_backslash_stay_in_the_one_line(start):
    done = start("echo", "ran", envs={"USER_ID": "1\n2\\n3\\c4"})

    assert (done.code, done.stdout) == (64, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.endswith("or leave it unset")


def test_home_and_cache_are_open_to_every_uid_and_given_to_none(docker, image):
    """Home for all, /cache as /tmp is. Giving them away would cost each start time, and a right more."""
    script = (
        "stat -c %u:%g $HOME /cache; touch $HOME/x /cache/x; mkdir $HOME/y; stat -c %u:%g $HOME/x /cache/x"
    )

    owners = docker.run(image, ["sh", "-c", script], envs=BOTH, remove=True)

    assert owners.split() == ["1000:0", "0:0", "1234:5678", "1234:5678"]


@pytest.mark.parametrize(
    ("owner", "changed"),
    [((1000, 1000), set()), ((1234, 5678), {"/etc", "/etc/passwd", "/etc/group"})],
    ids=["the image's own ids", "others"],
)
def test_a_start_writes_at_most_the_two_lines_of_app(docker, folder, image, owner, changed):
    container = docker.run(image, ["true"], volumes=[(folder(*owner), "/code")], detach=True)

    try:
        docker.wait(container)
        written = set(docker.diff(container))
    finally:
        container.remove(force=True)

    assert written == changed


def test_without_a_mount_it_runs_as_the_owner_of_the_code_in_the_image(who):
    me, _ = who(owner=None)

    assert me == "1000 1000 app /home/app"


IMPOSSIBLE = [
    *("abc", "-5", "1e3", " 12", "12abc", "00", "01000", "2147483648", "3000000000", "99999999999", "$(id)"),
]
# As often as there are values, in one container: nothing is changed before an id is refused.
EACH_VALUE = """
name=$1; shift
for value; do
    env "$name=$value" entrypoint echo ran 2>&1
    echo "exit code $?"
done
"""


@pytest.mark.parametrize("name", ["USER_ID", "GROUP_ID"])
def test_an_impossible_id_is_refused_in_one_line_that_names_it(docker, image, name):
    command = ["-c", EACH_VALUE, "sh", name, *IMPOSSIBLE]

    said = docker.run(image, command, entrypoint="sh", remove=True).splitlines()

    assert said[1::2] == ["exit code 64"] * len(IMPOSSIBLE)
    for value, line in zip(IMPOSSIBLE, said[::2], strict=True):
        assert line.startswith(f"entrypoint: {name}={value} is not an id")


@pytest.mark.parametrize(
    ("user", "home"),
    [
        pytest.param("7777:7777", "/home/app", id="Kubernetes runAsUser"),
        pytest.param("7777:0", "/home/app", id="OpenShift: any uid, group 0"),
        pytest.param("1000:1000", "/home/app", id="the image's own user"),
    ],
)
def test_whoever_is_not_root_is_not_mapped_but_gets_a_name_and_a_home(who, user, home):
    me, groups = who(owner=(7777, 7777), user=user, envs=BOTH)

    assert me == f"{user.replace(':', ' ')} app {home}"
    assert groups == {user.split(":")[1]}


@pytest.mark.parametrize("tmpfs", [["/tmp"], []], ids=["with /tmp", "without /tmp"])
@pytest.mark.parametrize("user", [None, "1234:5678"], ids=["root", "not root"])
def test_on_a_read_only_system_the_ids_still_apply(who, user, tmpfs):
    me, _ = who(owner=(1234, 5678), user=user, read_only=True, tmpfs=tmpfs)

    assert me == f"1234 5678 app {'/tmp' if tmpfs else '/dev/shm'}"


def test_groups_of_group_add_survive(who):
    """gosu with a bare uid:gid would drop them: cameras and /dev/dri need video and render."""
    me, groups = who(owner=(1234, 5678), groups_add=["44", "109"])

    assert me == "1234 5678 app /home/app"
    assert groups == {"44", "109", "5678"}


def test_with_more_groups_the_home_folder_is_kept_too(start, tmp_path):
    """Two programs change the user: one for the groups of /etc/group, one for others."""
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    mount = ["type=bind", f"source={cache}", "target=/cache"]
    user = {"USER_ID": "1234", "GROUP_ID": "1234"}

    homes = [
        start("printenv", "HOME", envs=user, mounts=[mount], **more).stdout
        for more in ({}, {"groups_add": ["44"]}, {"read_only": True})
    ]

    assert homes == ["/cache/home-1234"] * 3


@pytest.mark.parametrize(
    ("options", "opens"),
    [
        pytest.param({}, False, id="nothing set"),
        pytest.param({"envs": {"USER_ID": "4321"}}, False, id="USER_ID"),
        pytest.param({"owner": (1234, 0)}, False, id="a folder of group 0"),
        pytest.param({"groups_add": ["44"]}, False, id="more groups"),
        pytest.param({"envs": {"GROUP_ID": "0"}}, True, id="GROUP_ID=0"),
        pytest.param({"user": "1234:0"}, True, id="OpenShift"),
    ],
)
def test_a_file_that_root_shares_with_its_group_alone_stays_closed(start, tmp_path, image, options, opens):
    """Of the host's root, in a folder that is mounted: the user outside may not read it either."""
    secret = tmp_path / "cache"
    secret.mkdir()
    (secret / "secret").write_text("of root's")
    (secret / "secret").chmod(0o640)
    change_owner(secret, 0, 0, image)

    done = start(
        "cat", "/cache/secret", mounts=[["type=bind", f"source={secret}", "target=/cache"]], **options
    )

    change_owner(secret, os.getuid(), os.getgid(), image)
    assert (done.code == 0, done.stdout) == (opens, "of root's" if opens else "")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"cap_drop": ["ALL"], "cap_add": ["SETUID", "SETGID"]}, id="2 capabilities"),
        pytest.param({"cap_drop": ["ALL"], "cap_add": ["SETUID", "SETGID", "SETPCAP"]}, id="compose.yaml's"),
        pytest.param({"security_options": ["no-new-privileges"]}, id="no-new-privileges"),
    ],
)
def test_hardened_containers_get_the_ids_too(who, options):
    me, _ = who(owner=(1234, 5678), **options)

    assert me == "1234 5678 app /home/app"


@pytest.mark.parametrize("envs", [{}, BOTH], ids=["nothing set", "ids set"])
def test_root_of_a_rootless_engine_is_the_host_user_and_stays(docker, image, folder, tmp_path, envs):
    """No rootless engine, but its kernel feature: a user namespace in which uid 1500 is root."""
    rootless = ["--user", "--map-root-user", "--", "entrypoint"]

    told = docker.run(
        image,
        [*rootless, "sh", "-c", "touch made; id -u; cat /proc/self/uid_map"],
        entrypoint="unshare",
        user="1500:1500",
        security_options=["seccomp=unconfined"],  # a rootless engine needs no such thing
        envs=envs,
        volumes=[(folder(1500, 1500), "/code")],
        remove=True,
    )

    made = (tmp_path / "code" / "made").stat()
    assert told.split() == ["0", "0", "1500", "1"]
    assert (made.st_uid, made.st_gid) == (1500, 1500)


@pytest.mark.parametrize("owner", [(1234, 1234), (1000, 1000), (1900000001, 1900000513), (33, 20)], ids=str)
def test_output_belongs_to_the_owner_of_the_project(start, tmp_path, owner):
    done = start("-c", TOUCH, owner=owner)

    made = (tmp_path / "code" / "made").stat()
    assert done.code == 0, done.stderr
    assert (made.st_uid, made.st_gid) == owner


@pytest.mark.parametrize(
    "targets", [("/code", "/cache", "/home/app"), ("/code", "/home")], ids=["each", "the folder above"]
)
def test_nothing_that_is_mounted_is_given_to_another_owner(docker, image, folder, targets):
    """Somebody else's files, many of them, stay as they were."""
    code = folder(4321, 4321)
    (code / "app").mkdir()
    for number in range(500):
        (code / f"file{number}").touch()
    change_owner(code, 4321, 4321, image)
    before = owners_and_modes(code)

    docker.run(image, ["true"], remove=True, envs=BOTH, volumes=[(code, target) for target in targets])

    assert owners_and_modes(code) == before


def owners_and_modes(folder) -> dict:
    """Return the owner, the group and the mode of a folder and of all in it."""
    stats = {path: path.stat() for path in [folder, *folder.rglob("*")]}
    return {path: (stat.st_uid, stat.st_gid, stat.st_mode) for path, stat in stats.items()}


@pytest.mark.parametrize(
    "options", [{}, {"user": "7777:0"}, {"user": "7777:7777"}], ids=["mapped", "OpenShift", "any uid"]
)
def test_a_package_can_write_into_its_own_folder(start, options):
    """As packages do that download their model beside themselves."""
    code = "import onnxruntime, pathlib; pathlib.Path(onnxruntime.__path__[0], 'model').write_text('x')"

    done = start("-c", code, owner=(1900000001, 1900000513), **options)

    assert (done.code, done.stderr) == (0, "")


def test_the_person_who_made_the_project_owns_what_compose_run_makes(project):
    done = project.run("docker", "compose", "run", "--rm", "app", "-c", TOUCH)

    assert done.returncode == 0, done.stderr
    assert (project.path / "made").owner() == getpass.getuser()
