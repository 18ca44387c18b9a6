"""The manifests of configs/kuberay: valid by KubeRay's own schemas, and with commands that exist."""

from __future__ import annotations

import gzip
import json
import shlex
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from jobs import cli
from tests.processes import ROOT

MANIFESTS = {path.name: path for path in sorted((ROOT / "configs" / "kuberay").glob("*.yaml"))}


def schema(kind: str) -> dict[str, Any]:
    """KubeRay's schema of a kind; names that it does not know are refused, as `kubectl --validate=strict` does."""
    found = json.loads(gzip.decompress((ROOT / "tests" / "kuberay" / f"{kind}.json.gz").read_bytes()))
    _refuse_unknown(found)
    found["properties"]["metadata"] = {"type": "object"}  # the API server's own
    return dict(found)


def _refuse_unknown(part: Any) -> None:
    if isinstance(part, list):
        for item in part:
            _refuse_unknown(item)
    if isinstance(part, dict):
        if isinstance(part.get("properties"), dict) and not part.get("x-kubernetes-preserve-unknown-fields"):
            part.setdefault("additionalProperties", False)
        if part.pop("x-kubernetes-int-or-string", False):
            part.clear()
            part["type"] = ["integer", "string"]
        for item in list(part.values()):
            _refuse_unknown(item)


def load(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load(MANIFESTS[name].read_text("utf-8")))


def test_manifests_are_there() -> None:
    assert list(MANIFESTS) == ["raycluster.yaml", "rayjob.yaml", "submit-job.yaml"]


@pytest.mark.parametrize("name", ["raycluster.yaml", "rayjob.yaml"])
def test_a_manifest_is_valid(name: str) -> None:
    manifest = load(name)
    jsonschema.validate(manifest, schema(manifest["kind"]))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "backoffLimt"), 3),
        (("spec", "backoffLimit"), "3"),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "minReplica"), 1),
        (("spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "containers", 0, "envFrm"), []),
    ],
)
def test_a_fault_in_a_manifest_is_found(path: tuple[Any, ...], value: object) -> None:
    manifest = deepcopy(load("rayjob.yaml"))
    part = manifest
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest, schema("RayJob"))


def test_the_pod_of_the_plain_job_is_valid_too() -> None:
    pod = schema("RayJob")["properties"]["spec"]["properties"]["submitterPodTemplate"]
    jsonschema.validate(load("submit-job.yaml")["spec"]["template"], pod)


def test_the_job_and_the_cluster_have_the_same_nodes() -> None:
    assert load("rayjob.yaml")["spec"]["rayClusterSpec"] == load("raycluster.yaml")["spec"]


def test_the_head_offers_no_cpu_and_gpus_come_and_go() -> None:
    spec = load("raycluster.yaml")["spec"]
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    cpus, gpus = spec["workerGroupSpecs"]
    assert (cpus["minReplicas"], gpus["minReplicas"]) == (1, 0)
    limits = gpus["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits["nvidia.com/gpu"] == gpus["rayStartParams"]["num-gpus"]


def test_the_commands_are_commands(capsys: pytest.CaptureFixture[str]) -> None:
    module, *options = shlex.split(load("rayjob.yaml")["spec"]["entrypoint"])[2:]
    (container,) = load("submit-job.yaml")["spec"]["template"]["spec"]["containers"]
    name, *others = container["args"]
    assert container["command"][:2] == ["siglane", "submit"]
    for command in ([module.removeprefix("jobs."), *options], [name, *others]):
        assert cli.main([*command, "--print-config"]) == 0
    assert "wait_for_nodes: true" in capsys.readouterr().out


def test_every_image_has_a_dockerfile() -> None:
    images = {
        line.split("image:")[1].strip()
        for path in MANIFESTS.values()
        for line in path.read_text("utf-8").splitlines()
        if "image:" in line
    }
    assert images == {"REGISTRY/siglane:cpu", "REGISTRY/siglane:cuda"}
    for image in images:
        name = image.partition(":")[2]
        text = Path(ROOT / "configs" / "docker" / f"{name}.Dockerfile").read_text("utf-8")
        assert f"--tag {image} ." in text.splitlines()[0]
