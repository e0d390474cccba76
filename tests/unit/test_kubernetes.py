"""The manifests of deploy/kubernetes: the base as written, and each overlay as kustomize renders it, if it is there."""

import ipaddress
import re
import tomllib
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import kubernetes_validate
import pytest

from cli.main import main
from ddoq.guard import REFUSED
from jobs.settings import Settings
from tests.manifests import AS_WRITTEN, KUBERNETES, OVERLAYS, containers, kustomization, of_kind, pods, read
from worker.lease import DRAIN_SECONDS

DOCS = KUBERNETES.parents[1] / "docs"
SETTINGS = {f"DDOQ_{name.upper()}" for name in Settings.model_fields}
REQUIRED = {f"DDOQ_{name.upper()}" for name, field in Settings.model_fields.items() if field.is_required()}
VERSION = tomllib.loads((KUBERNETES.parents[1] / "pyproject.toml").read_text())["project"]["version"]
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
UNITS = {"Mi": 2**20, "Gi": 2**30}

every_source = pytest.mark.parametrize("source", [AS_WRITTEN, *OVERLAYS])
every_overlay = pytest.mark.parametrize("source", OVERLAYS)


def size(words: str) -> int:
    return int(words[:-2]) * UNITS[words[-2:]]


def literals() -> dict[str, str]:
    (generated,) = kustomization("base")["configMapGenerator"]
    return dict(line.split("=", 1) for line in generated["literals"])


def secret_keys() -> set[str]:
    """Name what docs/operations.md puts into the Secret."""
    (command,) = re.findall(r"kubectl .*create secret generic ddoq[^`]*", (DOCS / "operations.md").read_text())
    return set(re.findall(r"--from-literal=(\w+)=", command))


@every_source
def test_every_manifest_is_what_kubernetes_expects(source: str) -> None:
    known = [one for one in read(source) if not one["apiVersion"].startswith("keda.sh/")]  # of its own schema
    for manifest in known:
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    assert len(known) >= len(read(AS_WRITTEN))


@every_source
def test_no_container_runs_as_root_or_writes_to_its_root(source: str) -> None:
    for _, pod in pods(source):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    confined = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {name for name, one in containers(source) if one["securityContext"] != confined} == set()


@every_source
def test_no_pod_has_a_token_of_the_cluster(source: str) -> None:
    assert of_kind(source, "ServiceAccount")["ddoq"]["automountServiceAccountToken"] is False
    for _, pod in pods(source):
        assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("ddoq", False)


@every_source
def test_every_deployment_is_probed(source: str) -> None:
    for deployment in of_kind(source, "Deployment").values():
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            ports = {port["name"] for port in container["ports"]}
            for probe in PROBES:
                asked = container[probe].get("httpGet")
                assert asked["port"] in ports if asked else container[probe]["exec"]["command"]


@every_source
def test_the_api_is_probed_for_life_and_for_readiness_apart(source: str) -> None:
    (container,) = of_kind(source, "Deployment")["api"]["spec"]["template"]["spec"]["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


@every_source
def test_every_container_has_limits_and_every_volume_a_size(source: str) -> None:
    for name, container in containers(source):
        for of in ("requests", "limits"):
            assert {"cpu", "memory", "ephemeral-storage"} <= set(container["resources"][of]), name
    for name, pod in pods(source):
        sizes = [size(volume["emptyDir"]["sizeLimit"]) for volume in pod["volumes"]]
        (limit,) = {container["resources"]["limits"]["ephemeral-storage"] for container in pod["containers"]}
        assert sum(sizes) <= size(limit), name


@every_source
def test_what_the_image_writes_to_is_mounted(source: str) -> None:
    for name, container in containers(source):
        assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp", "/scratch"], name


def test_scratch_has_room_for_what_a_worker_keeps() -> None:
    pod = dict(pods(AS_WRITTEN))["worker"]
    (scratch,) = [volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"] if volume["name"] == "scratch"]
    assert size(scratch) >= 2 * Settings.model_fields["scratch_bytes"].default


@every_source
def test_secrets_are_named_and_never_written(source: str) -> None:
    assert of_kind(source, "Secret") == {}
    for name, container in containers(source):
        assert {"secretRef": {"name": "ddoq"}} in container["envFrom"], name
        assert "env" not in container, name


def test_every_setting_without_a_default_has_its_place() -> None:
    assert set(literals()) | secret_keys() >= REQUIRED
    assert set(literals()) | secret_keys() <= SETTINGS
    assert not {name for name in literals() if re.search("KEY|SECRET|PEPPER|DATABASE|BROKER", name)}


@every_overlay
def test_every_container_reads_the_settings_that_were_generated(source: str) -> None:
    (name,) = of_kind(source, "ConfigMap")
    assert {
        f"{one}" for one, found in containers(source) if {"configMapRef": {"name": name}} not in found["envFrom"]
    } == set()


@every_overlay
def test_every_image_is_of_this_version(source: str) -> None:
    images = {container["image"] for _, container in containers(source)}
    worker = "ddoq-worker" if source == "cpu" else "ddoq-worker-cuda"
    assert images == {f"registry.example.com/{name}:{VERSION}" for name in ("ddoq-api", worker)}


@pytest.mark.parametrize("folder", ["base", "overlays/gpu"])
def test_every_image_is_named_with_this_version(folder: str) -> None:
    assert {image["newTag"] for image in kustomization(folder)["images"]} == {VERSION}


@every_source
def test_every_deployment_has_a_disruption_budget(source: str) -> None:
    budgets = of_kind(source, "PodDisruptionBudget")
    for name, deployment in of_kind(source, "Deployment").items():
        assert budgets[name]["spec"]["selector"] == deployment["spec"]["selector"]
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()


@every_source
def test_whatever_is_not_allowed_is_denied(source: str) -> None:
    policies = of_kind(source, "NetworkPolicy")
    assert policies["default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name, policy in policies.items():
        rules = [*policy["spec"].get("ingress", ()), *policy["spec"].get("egress", ())]
        assert all(rule.get("ports") and (rule.get("to") or rule.get("from")) for rule in rules), name


@every_source
def test_outside_is_what_the_guard_lets_through(source: str) -> None:
    (rule,) = of_kind(source, "NetworkPolicy")["outside"]["spec"]["egress"]
    assert [port["port"] for port in rule["ports"]] == [443]
    denied = [ipaddress.ip_network(one) for to in rule["to"] for one in to["ipBlock"]["except"]]
    assert set(denied) == set(REFUSED)
    assert len(denied) == len(REFUSED)


@every_source
def test_names_are_asked_of_the_cluster(source: str) -> None:
    names, _ = of_kind(source, "NetworkPolicy")["servers"]["spec"]["egress"]
    (peer,) = names["to"]
    assert peer["podSelector"] == {"matchLabels": {"k8s-app": "kube-dns"}}
    assert {port["port"] for port in names["ports"]} == {53}


@every_source
def test_the_api_is_asked_by_the_ingress_alone(source: str) -> None:
    policies = of_kind(source, "NetworkPolicy").values()
    ports = [port["port"] for one in policies for rule in one["spec"].get("ingress", ()) for port in rule["ports"]]
    assert sorted(ports) == ["http", "metrics"]
    (published,) = of_kind(source, "Service")["api"]["spec"]["ports"]
    assert published["targetPort"] == "http"


@every_source
def test_a_worker_has_time_to_give_its_unit_back(source: str) -> None:
    assert dict(pods(source))["worker"]["terminationGracePeriodSeconds"] >= 2 * DRAIN_SECONDS


@every_source
def test_what_the_containers_run_exists(source: str) -> None:
    commands = [one["command"] for _, one in containers(source) if "command" in one]
    commands += [
        one[probe]["exec"]["command"]
        for _, one in containers(source)
        for probe in PROBES
        if "exec" in one.get(probe, ())
    ]
    assert len(commands) >= 4
    assert [command for command in commands if not _exists(command)] == []


def _exists(command: Sequence[str]) -> bool:
    if command[:2] == ["python", "-m"]:
        return find_spec(command[2]) is not None
    found: Any = main
    for word in command[1:]:
        found = found.commands.get(word)
    return command[0] == "ddoq" and found is not None


@pytest.mark.parametrize("source", ["gpu", "keda"])
def test_a_worker_of_the_gpu_overlay_has_one(source: str) -> None:
    (container,) = dict(pods(source))["worker"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_keda_alone_says_how_many_workers_there_are() -> None:
    assert "replicas" not in of_kind("keda", "Deployment")["worker"]["spec"]
    assert of_kind("keda", "ScaledObject")["worker"]["spec"]["scaleTargetRef"] == {"name": "worker"}


def test_keda_reads_the_address_of_the_database_from_the_secret() -> None:
    (wanted,) = of_kind("keda", "TriggerAuthentication")["database"]["spec"]["secretTargetRef"]
    assert wanted["name"] == "ddoq"
    assert wanted["key"] in secret_keys()
