"""The image and the compose file, as far as they can be looked at without an engine."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hatchling.builders.sdist import SdistBuilder

from search.settings import ServerSettings

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def instructions() -> list[tuple[str, str]]:
    lines = re.sub(r"\\\n\s*", "", DOCKERFILE).splitlines()
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines if line and not line.startswith("#")]


def compose(name: str = "docker-compose.yml") -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return found


def test_a_source_distribution_holds_the_whole_repository() -> None:
    held = {file.distribution_path for file in SdistBuilder(str(ROOT)).recurse_included_files()}
    listed = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no clone, so nothing says what belongs to it")
    assert {*listed.stdout.splitlines()} - {".gitignore", "pyproject.toml"} <= held  # which always are


def test_images_are_pinned_and_the_service_runs_with_little() -> None:
    services = compose()["services"]
    assert re.fullmatch(r"qdrant/qdrant:v\d+\.\d+\.\d+@sha256:[0-9a-f]{64}", services["qdrant"]["image"])
    images = [rest for word, rest in instructions() if word == "FROM"]
    assert all(re.search(r":\d+\.\d+\.\d+-[a-z-]+@sha256:[0-9a-f]{64}( AS build)?$", rest) for rest in images)
    assert len({rest.removesuffix(" AS build") for rest in images}) == 1
    for name in ("search", "search-gpu"):
        service = services[name]
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert service["depends_on"] == {
            "qdrant": {"condition": "service_healthy"},
            "keys": {"condition": "service_completed_successfully"},
        }
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert services["search-gpu"]["profiles"] == ["gpu"]
    assert services["search-gpu"]["build"]["args"] == {"RUNTIME": "gpu"}
    user = [rest for word, rest in instructions() if word == "USER"]
    assert user == ["10001"]
    words = [word for word, _ in instructions()]
    assert words.index("USER") < words.index("ENTRYPOINT")


def test_the_server_is_asked_by_nobody_without_its_key() -> None:
    """No page may ask, and only who publishes its ports reaches it from this machine."""
    server = compose()["services"]["qdrant"]
    key = server["environment"]["QDRANT__SERVICE__API_KEY"]
    assert key == "${QDRANT_API_KEY:-}"
    assert server["environment"]["QDRANT__SERVICE__ENABLE_CORS"] == "false"
    assert "ports" not in server
    for name in ("keys", "search", "search-gpu"):
        service = compose()["services"][name]
        assert service["environment"]["SEARCH_INDEX__API_KEY"] == key
        assert service["environment"]["SEARCH_INDEX__API_KEY_FILE"] == "/keys/qdrant"
        assert "keys:/keys:ro" in service["volumes"]
    published = compose("docker-compose.ports.yml")["services"]
    assert {name: set(what) for name, what in published.items()} == {"qdrant": {"ports"}}
    assert all(port.startswith("127.0.0.1:") for port in published["qdrant"]["ports"])


def started(keys: Path, key: str = "") -> subprocess.Popen[str]:
    """What the container of the server does when it starts, except that the server tells the key it was given."""
    command = [part.replace("$$", "$").replace("/keys/", f"{keys}/") for part in compose()["services"]["qdrant"]["entrypoint"]]
    environment = {"PATH": os.environ["PATH"], "QDRANT__SERVICE__API_KEY": key}
    told = ["bash", "-c", 'echo "$QDRANT__SERVICE__API_KEY"']
    return subprocess.Popen([*command, *told], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def test_a_first_start_makes_the_servers_key_and_all_nodes_have_the_same(tmp_path: Path) -> None:
    nodes = [started(tmp_path) for _ in range(5)]
    keys = {node.communicate()[0] for node in nodes}
    assert [node.returncode for node in nodes] == [0] * 5
    assert len(keys) == 1
    key = keys.pop().strip()
    assert re.fullmatch("[0-9a-f]{64}", key)
    assert started(tmp_path).communicate()[0].strip() == key  # and keeps it
    assert [file.name for file in tmp_path.iterdir()] == ["qdrant"]
    assert (tmp_path / "qdrant").stat().st_mode & 0o777 == 0o644  # for the service, which is another user
    assert ServerSettings(api_key_file=tmp_path / "qdrant").key() == key
    assert started(tmp_path, "of .env").communicate()[0] == "of .env\n"
    with started(tmp_path / "none") as elsewhere:
        assert elsewhere.wait() != 0


def test_a_cluster_is_three_of_the_same_server_and_may_lose_one(tmp_path: Path) -> None:
    cluster = compose("docker-compose.cluster.yml")
    nodes = [name for name in cluster["services"] if name.startswith("qdrant")]
    assert len(nodes) == 3
    first = [one for one in compose()["services"]["qdrant"]["volumes"] if not one.startswith("keys:")]
    kept = [one.split(":") for name in nodes for one in cluster["services"][name].get("volumes", first)]
    for place in ("/qdrant/storage", "/qdrant/snapshots"):
        assert len({volume for volume, at in kept if at == place}) == 3  # each has its own disk
    assert set(cluster["volumes"]) == {volume for volume, _ in kept} - {"qdrant", "snapshots"}
    for name in nodes:
        node = cluster["services"][name]
        assert name == "qdrant" or node["extends"] == {"file": "docker-compose.yml", "service": "qdrant"}  # its image and its key
        assert node["command"][-2:] == ["--uri", f"http://{name}:6335"]
        assert ("--bootstrap" in node["command"]) == (name != "qdrant")
        assert node["environment"] == {"QDRANT__CLUSTER__ENABLED": "true"}
        assert not {"ports", "image"} & set(node)
    for name in ("search", "search-gpu"):
        service = cluster["services"][name]
        environment = {**compose()["services"][name]["environment"], **service["environment"], "SEARCH_INDEX__API_KEY": "x"}
        script = (
            "from search import Settings; index = Settings().index; print(index.url, *index.urls, index.shards, index.replicas)"
        )
        command = [sys.executable, "-c", script]
        told = subprocess.run(command, env={**os.environ, **environment}, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert told.stdout.split() == [*(f"http://{node}:6333" for node in nodes), "3", "2"]
        assert set(service["depends_on"]) == set(nodes) - {"qdrant"}  # that one is waited for already


def test_what_the_server_keeps_outlives_its_container() -> None:
    """Snapshots it keeps beside its storage."""
    volumes = dict(one.split(":")[1::-1] for one in compose()["services"]["qdrant"]["volumes"])
    assert volumes == {"/qdrant/storage": "qdrant", "/qdrant/snapshots": "snapshots", "/keys": "keys"}
    assert {*volumes.values(), "search"} == set(compose()["volumes"])


def test_no_two_services_build_one_image() -> None:
    """Newer Compose builds them side by side, and the second one fails on the name that the first one has taken."""
    services = compose()["services"]
    built = [service["image"] for service in services.values() if "build" in service]
    assert sorted(built) == ["two-stage-search:cpu", "two-stage-search:gpu"]
    for service in services.values():
        if "build" not in service and service["image"] in built:
            assert service["pull_policy"] == "never"
            before = [services[name] for name in service["depends_on"]]  # docker-compose 1.29 goes by that order
            assert service["image"] in [one["image"] for one in before if "build" in one]


def test_health_is_asked_by_what_knows_port_and_certificate() -> None:
    assert [rest.partition("CMD ")[2] for word, rest in instructions() if word == "HEALTHCHECK"] == ['["search", "health"]']
    services = compose()["services"]
    assert [name for name, service in services.items() if "healthcheck" in service] == ["qdrant"]  # the others have the image's
    port = {services[name]["environment"]["SEARCH_SERVICE__PORT"] for name in ("search", "search-gpu")}
    assert {one.rpartition(":")[2] for name in ("search", "search-gpu") for one in services[name]["ports"]} == port


def test_the_server_is_of_a_version_that_was_tried_with_the_client() -> None:
    tried = {("1.19.0", "1.20.0")}  # server and client
    server = re.findall(r":v(\d+\.\d+\.\d+)@", compose()["services"]["qdrant"]["image"])[0]
    for name in ("cpu.txt", "gpu.txt", "dev.txt"):
        client = re.findall(r"^qdrant-client==(\S+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE)[0]
        assert (server, client) in tried, "try them together, and say so here"
        (major, minor), (other, its_minor) = ([int(part) for part in one.split(".")[:2]] for one in (server, client))
        assert (major, abs(minor - its_minor) <= 1) == (other, True)  # as the client itself demands
    assert f"qdrant-client {client} " in (ROOT / "docker-compose.yml").read_text()


def test_a_first_start_makes_a_key_for_clients_and_shows_it_once(tmp_path: Path) -> None:
    service = compose()["services"]["keys"]
    assert "restart" not in service
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **service["environment"], "SEARCH_SERVICE__HOST": "0.0.0.0"}  # noqa: S104
    environment["SEARCH_INDEX__API_KEY"] = ""  # as Compose has it without one in .env

    def start() -> subprocess.CompletedProcess[str]:
        command = [str(BIN / "search"), *service["command"]]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)

    shown = start().stdout
    key = re.findall("sk_[A-Za-z0-9_-]{43}", shown)[0]
    file = tmp_path / ".config/two-stage-search/search.toml"
    assert str(file) in shown
    again = start()
    assert again.stdout == ""
    assert again.stderr == "there are keys already: first\n"
    script = (
        "import sys; from search import Settings; from search.api.keys import Keys, check_listening; service = Settings().service; "
        "check_listening(service); known = Keys(service.api_keys).find(sys.argv[1]); print(known.name, *sorted(known.scopes))"
    )
    command = [sys.executable, "-c", script, key]
    let_in = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert let_in.stdout.split() == ["first", "search", "write"]


@pytest.mark.parametrize("name", ["docker-compose.yml", "docker-compose.ports.yml", "docker-compose.cluster.yml"])
def test_the_compose_files_keep_the_specification(name: str) -> None:
    command = [str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(ROOT / name)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="hadolint comes for Linux only")
def test_the_dockerfile_is_linted() -> None:
    told = subprocess.run([BIN / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout


def test_what_the_service_is_told_are_settings_of_it() -> None:
    names = [*compose()["services"]["search-gpu"]["environment"], *re.findall(r"(SEARCH_\w+)=", DOCKERFILE)]
    script = "from search import Settings; from search.settings import unknown_names; Settings(); print(unknown_names())"
    values = {
        "SEARCH_INDEX__ENGINE": "qdrant",
        "SEARCH_INDEX__URL": "http://x",
        "SEARCH_SERVICE__PORT": "8000",
        "SEARCH_SERVICE__API_KEYS": "{}",
        "SEARCH_DEVICE": "cpu",
    }
    environment = {**os.environ, **{name: values.get(name, "x") for name in names}}
    told = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True).stdout
    assert told == "[]\n"
    assert len(names) >= 6


def test_nothing_in_a_container_reports_home() -> None:
    switches = " ".join(rest for word, rest in instructions() if word == "ENV").split()
    assert {"ORT_DISABLE_TELEMETRY=1", "HF_HUB_DISABLE_TELEMETRY=1"} <= set(switches)
    assert compose()["services"]["qdrant"]["environment"]["QDRANT__TELEMETRY_DISABLED"] == "true"


def test_what_is_copied_is_there_and_not_left_out() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [part for word, rest in instructions() if word == "COPY" and "--from" not in rest for part in rest.split()[:-1]]
    assert set(copied) == allowed
    assert all((ROOT / name).exists() for name in copied)
    assert {f"{runtime}.txt" for runtime in ("cpu", "gpu")} <= {file.name for file in (ROOT / "requirements").iterdir()}


@pytest.mark.timeout(900)
def test_every_line_that_it_runs_runs(tmp_path: Path, in_full: bool) -> None:  # noqa: FBT001  # a fixture
    """In an empty folder with only what is copied, and then the service answers from there."""
    if not in_full:
        pytest.skip("installs everything anew; --long does")
    build, target = tmp_path / "build", tmp_path / "opt"
    build.mkdir()
    for word, rest in instructions():
        if word == "FROM" and "AS build" not in rest:
            break
        if word == "COPY":
            for name in rest.split()[:-1]:
                subprocess.run(["cp", "-r", ROOT / name, build / name], check=True)
        if word == "RUN":
            line = (
                rest.replace("/opt/search", str(target))
                .replace("$RUNTIME", "cpu")
                .replace("python -m venv", f"{sys.executable} -m venv")
            )
            subprocess.run(["sh", "-ec", line], cwd=build, check=True)
    environment = {"PATH": f"{target}/bin:/usr/bin:/bin", "HOME": str(tmp_path), "SEARCH_DATA_DIR": str(tmp_path / "data")}
    told = subprocess.run(["search", "doctor"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout
    assert "every sha256 as released" in told.stdout
