"""The manifests for Kubernetes name commands, settings, secrets and metrics that exist."""

import re
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from pointledger.observability.heartbeat import Process
from pointledger.settings import Settings
from tests import environments
from tests.cli.conftest import run_app
from tests.deploy.expressions import faults_of
from tests.docs.test_compose import assert_is_a_command, is_setting

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
PAGE = Path(__file__).parents[2] / "docs" / "operate" / "deploy.md"
DEPLOYMENTS = ("worker", "beat", "relay", "ingest", "api", "console", "metrics")
_MOUNT = "/run/secrets/pointledger/"
_STOPS_WITHIN = 15  # seconds: what the API grants its requests, and a pause before SIGTERM
KUBERNETES = "1.34"


@lru_cache
def documents() -> dict[tuple[str, str], Any]:
    """Return each resource of each kustomization, by kind and name."""
    found = {}
    for folder in (FOLDER, FOLDER / "migrate"):
        listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
        assert {*listed} == {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
        for name in listed:
            for each in yaml.safe_load_all((folder / name).read_text()):
                found[each["kind"], each["metadata"]["name"]] = each
    return found


def pod_of(name: str) -> Any:
    kind = "Job" if name == "migrate" else "Deployment"
    return documents()[kind, name]["spec"]["template"]["spec"]


def container_of(name: str) -> Any:
    (container,) = pod_of(name)["containers"]
    return container


def probes(name: str) -> Iterator[Any]:
    container = container_of(name)
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        if kind in container:
            yield container[kind]


def test_every_process_is_there() -> None:
    assert {name for kind, name in documents() if kind == "Deployment"} == {*DEPLOYMENTS}
    assert ("Job", "migrate") in documents()


@pytest.mark.parametrize("name", [*DEPLOYMENTS, "migrate"])
def test_every_pod_runs_a_command_of_the_image_with_settings_that_exist(name: str) -> None:
    container = container_of(name)
    assert container["image"] == "pointledger"
    assert "command" not in container, "the image's entry point is `pointledger`"
    assert_is_a_command(container["args"])
    mounted = {f"{_MOUNT}{item['path']}" for item in pod_of(name)["volumes"][1]["secret"]["items"]}
    assert {each["value"] for each in container["env"]} == mounted
    for variable in container["env"]:
        assert is_setting(variable["name"])
    for variable in documents()["ConfigMap", "pointledger"]["data"]:
        assert variable.removeprefix("POINTLEDGER_").lower() in Settings.model_fields


@pytest.mark.parametrize("name", [*DEPLOYMENTS, "migrate"])
def test_every_pod_is_fit_for_the_restricted_standard_and_a_read_only_root(name: str) -> None:
    assert pod_of(name)["securityContext"]["runAsNonRoot"] is True
    assert pod_of(name)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    container = container_of(name)
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"cpu", "memory"} == container["resources"]["requests"].keys()
    assert container["volumeMounts"][0] == {"name": "tmp", "mountPath": "/tmp"}


@pytest.mark.parametrize("name", sorted(Process))
def test_every_process_is_asked_for_its_own_heartbeat(name: str) -> None:
    commands = [probe["exec"]["command"] for probe in probes(name) if "exec" in probe]
    assert commands == [["pointledger", "health", name]] * 2
    assert run_app("health", "--help").status == 0


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_probes_and_services_name_ports_that_the_command_listens_on(name: str) -> None:
    container = container_of(name)
    ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
    given = {int(word) for word in container["args"] if word.isdigit()}
    assert given <= set(ports.values())
    for probe in probes(name):
        for how in ("httpGet", "tcpSocket"):
            if how in probe:
                assert probe[how]["port"] in ports
    if service := documents().get(("Service", name)):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports.keys()


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_an_update_starts_a_pod_before_it_stops_one_and_lets_it_finish(name: str) -> None:
    update = documents()["Deployment", name]["spec"]["strategy"]["rollingUpdate"]
    assert update == {"maxUnavailable": 0, "maxSurge": 1}
    assert pod_of(name)["terminationGracePeriodSeconds"] > _STOPS_WITHIN
    if ("Service", name) in documents():
        assert container_of(name)["lifecycle"]["preStop"]["sleep"]["seconds"] > 0


def test_every_selector_finds_pods() -> None:
    for (kind, name), each in documents().items():
        if kind == "Deployment":
            labels = each["spec"]["template"]["metadata"]["labels"]
            assert each["spec"]["selector"]["matchLabels"] == labels == {"app.kubernetes.io/name": name}
        elif kind == "Service":
            assert each["spec"]["selector"]["app.kubernetes.io/name"] in DEPLOYMENTS
        elif kind == "PodDisruptionBudget":
            assert each["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"] == name
            assert documents()["Deployment", name]["spec"].get("replicas", 2) > 1, "or no node can be drained"
        elif kind == "NetworkPolicy":
            for expression in each["spec"]["podSelector"].get("matchExpressions", []):
                assert {*expression["values"]} <= {*DEPLOYMENTS}


def test_workers_are_scaled_by_a_metric_that_exists_and_to_no_more_than_the_lanes() -> None:
    scaling = documents()["ScaledObject", "worker"]["spec"]
    assert ("Deployment", scaling["scaleTargetRef"]["name"]) in documents()
    assert "replicas" not in documents()["Deployment", "worker"]["spec"], "each apply would undo the scaling"
    (trigger,) = scaling["triggers"]
    assert list(faults_of(trigger["metadata"]["query"], set())) == []
    most = Settings.model_fields["lanes"].default
    assert (
        1 < scaling["minReplicaCount"] < scaling["fallback"]["replicas"] < scaling["maxReplicaCount"] <= most
    )


def test_the_page_names_every_key_of_the_secrets() -> None:
    for name in [*DEPLOYMENTS, "migrate"]:
        secret = pod_of(name)["volumes"][1]["secret"]
        made = re.search(
            rf"create secret generic {secret['secretName']} (.*?)\n```", PAGE.read_text(), re.DOTALL
        )
        assert made, secret["secretName"]
        for item in secret["items"]:
            assert f"--from-file={item['key']}=" in made[1]


@pytest.mark.long
def test_kubernetes_schemas_describe_every_resource(tmp_path: Path) -> None:
    """Except KEDA's, which is not Kubernetes' own. Strict: an unknown field is an error."""
    validate = environments.python("deploy").with_name("kubernetes-validate")
    own = [each for (kind, _), each in documents().items() if kind != "ScaledObject"]
    file = tmp_path / "all.yaml"
    file.write_text(yaml.safe_dump_all(own))
    command: list[str | Path] = [validate, "--strict", "-k", KUBERNETES, file]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    own[0] = {**own[0], "spek": {}}
    file.write_text(yaml.safe_dump_all(own))
    assert subprocess.run(command, check=False, capture_output=True).returncode != 0
