#!/usr/bin/python3
"""deploy.py kubernetes|compose|quadlet|units - holds the files of deploy/ against what those who read them publish.

kubernetes, compose: JSON Schema (deploy/kubernetes/schema, deploy/container/schema), and what a schema cannot say: that what one
file names another has. quadlet: podman's own generator where it is installed (podman 4.4), else the table of keys below. units:
systemd-analyze verify, and a bound on systemd-analyze security.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy"
QUADLET = {
    "Container": """AddCapability AddDevice AddHost Annotation AutoUpdate CgroupsMode ContainerName ContainersConfModule DNS DNSOption
        DNSSearch DropCapability Entrypoint Environment EnvironmentFile EnvironmentHost Exec ExposeHostPort GIDMap GlobalArgs Group GroupAdd
        HealthCmd HealthInterval HealthLogDestination HealthMaxLogCount HealthMaxLogSize HealthOnFailure HealthRetries HealthStartPeriod
        HealthStartupCmd HealthStartupInterval HealthStartupRetries HealthStartupSuccess HealthStartupTimeout HealthTimeout HostName IP IP6
        Image Label LogDriver LogOpt Mask Memory Mount Network NetworkAlias NoNewPrivileges Notify PidsLimit Pod PodmanArgs PublishPort Pull
        ReadOnly ReadOnlyTmpfs ReloadCmd ReloadSignal Retry RetryDelay Rootfs RunInit SeccompProfile Secret SecurityLabelDisable
        SecurityLabelFileType SecurityLabelLevel SecurityLabelNested SecurityLabelType ShmSize StartWithPod StopSignal StopTimeout
        SubGIDMap SubUIDMap Sysctl Timezone Tmpfs UIDMap Ulimit Unmask User UserNS Volume WorkingDir""",
    "Network": """ContainersConfModule DisableDNS DNS Driver Gateway GlobalArgs InterfaceName Internal IPAMDriver IPRange IPv6 Label
        NetworkDeleteOnStop NetworkName Options PodmanArgs Subnet""",
    "Volume": "ContainersConfModule Copy Device Driver GlobalArgs Group Image Label Options PodmanArgs Type User VolumeName",
}
PLAIN_SECTIONS = {"Unit", "Service", "Install"}
EXPOSED_AT_MOST = {"mayfly-broker": 1.5, "mayfly-health": 1.5, "mayfly-worker": 4.5}


def load_yaml(path):
    import yaml
    with open(path) as file:
        return [document for document in yaml.safe_load_all(file) if document is not None]


def explain(schema, value):
    """Every error, each with the path to it; of a oneOf, what the right branch says."""
    import jsonschema
    for error in jsonschema.Draft7Validator(schema).iter_errors(value):
        yield f"{'/'.join(map(str, error.absolute_path)) or '(top)'}: {error.message[:300]}"


def images():
    containerfile = (DEPLOY / "container/Containerfile").read_text()
    return {f"localhost/mayfly-{stage}" for stage in re.findall(r"^FROM scratch AS (\S+)", containerfile, re.M)}


def pod_errors(template):
    spec = template["spec"]
    containers = spec["containers"] + spec.get("initContainers", [])
    volumes = {volume["name"] for volume in spec.get("volumes", [])}
    for container in containers:
        if container["image"].rsplit(":", 1)[0] not in images():
            yield f"container {container['name']}: no stage of the Containerfile makes {container['image']}"
        ports = {port["name"] for port in container.get("ports", [])}
        for probe in (container.get("livenessProbe"), container.get("readinessProbe")):
            if probe and probe["httpGet"]["port"] not in ports:
                yield f"container {container['name']}: a probe asks at port {probe['httpGet']['port']}, which it does not have"
        rights = container.get("securityContext", {})
        if rights.get("allowPrivilegeEscalation") is not False or not rights.get("readOnlyRootFilesystem") or \
                rights.get("capabilities", {}).get("drop") != ["ALL"]:
            yield f"container {container['name']}: more rights than it needs"
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"container {container['name']}: mounts {mount['name']}, which is no volume of its pod"


def check_kubernetes():
    schema = json.loads((DEPLOY / "kubernetes/schema/kubernetes.json").read_text())
    kinds = {reference["$ref"].rsplit("/V1", 1)[1]: reference["$ref"] for reference in schema["oneOf"]}
    documents = [(path.name, document) for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")) for document in load_yaml(path)]
    templates, errors = [], []
    secrets = {document["metadata"]["name"] for _, document in documents if document.get("kind") == "Secret"}
    for name, document in documents:
        where = f"{name}: {document.get('kind')} {document.get('metadata', {}).get('name')}"
        if document.get("kind") not in kinds:
            errors.append(f"{where}: no schema of this kind; add it to derive.py")
            continue
        one = {"$ref": kinds[document["kind"]], "definitions": schema["definitions"]}
        found = list(explain(one, document))
        errors += [f"{where}: {error}" for error in found]
        template = document["spec"].get("template") if "spec" in document else None
        if template and not found:
            claims = [{"name": claim["metadata"]["name"]} for claim in document["spec"].get("volumeClaimTemplates", [])]
            template["spec"].setdefault("volumes", []).extend(claims)
            templates.append(template)
            errors += [f"{where}: {error}" for error in pod_errors(template)]
            errors += [f"{where}: there is no secret {volume['secret']['secretName']}" for volume in template["spec"]["volumes"]
                       if "secret" in volume and volume["secret"]["secretName"] not in secrets]
            labels = template["metadata"]["labels"].items()
            if not document["spec"]["selector"]["matchLabels"].items() <= labels:
                errors.append(f"{where}: selects no pod of its own")
    for name, document in documents:
        wanted = {"Service": lambda spec: spec["selector"], "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"]}
        if document.get("kind") in wanted:
            selector = wanted[document["kind"]](document["spec"])
            if not any(selector.items() <= template["metadata"]["labels"].items() for template in templates):
                errors.append(f"{name}: {document['kind']} {document['metadata']['name']}: selects no pod")
    return errors, f"{len(documents)} documents, {schema['$comment']}"


def check_compose():
    schema = json.loads((DEPLOY / "container/schema/compose.json").read_text())
    (compose,) = load_yaml(DEPLOY / "compose.yaml")
    errors = list(explain(schema, compose))
    for name, service in compose["services"].items():
        image = service["image"].replace("${MAYFLY_PREFIX:-localhost/mayfly}", "localhost/mayfly").split(":${", 1)[0]
        if image not in images():
            errors.append(f"services/{name}: no stage of the Containerfile makes {image}")
        for volume in service.get("volumes", []):
            source = volume.split(":", 1)[0]
            if not source.startswith(("$", "/")) and source not in compose["volumes"]:
                errors.append(f"services/{name}: there is no volume {source}")
        for needed in service.get("depends_on", {}):
            if needed not in compose["services"]:
                errors.append(f"services/{name}: depends on {needed}, which is no service")
    addresses = [service["networks"]["mayfly"]["ipv4_address"] for service in compose["services"].values()
                 if isinstance(service.get("networks"), dict)]
    if len(addresses) != len(set(addresses)):
        errors.append("services: two have one address")
    return errors, f"{len(compose['services'])} services"


def read_unit(path):
    """Sections, keys and values; a key may come again."""
    rows, section = [], None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        if match := re.fullmatch(r"\[(\w+)\]", line):
            section = match[1]
        elif "=" in line and section:
            key, value = line.split("=", 1)
            rows.append((number, section, key.strip(), value.strip()))
        else:
            rows.append((number, section, None, line))
    return rows


def quadlet_generator():
    places = ("/usr/libexec/podman/quadlet", "/usr/lib/systemd/system-generators/podman-system-generator")
    return next((place for place in places if os.access(place, os.X_OK)), None)


def check_quadlet():
    files = sorted(path for path in (DEPLOY / "quadlet").iterdir() if path.suffix in (".container", ".network", ".volume"))
    errors, generator = [], quadlet_generator()
    if generator:
        run = subprocess.run([generator, "-dryrun", "-no-kmsg-log"], env={"QUADLET_UNIT_DIRS": str(DEPLOY / "quadlet")},
                             capture_output=True, text=True)
        if run.returncode:
            errors.append(run.stderr)
    names = {path.name for path in files}
    for path in files:
        own = path.suffix[1:].capitalize()
        known = set(QUADLET[own].split())
        for number, section, key, value in read_unit(path):
            where = f"{path.name}:{number}"
            if section == own and key not in known:
                errors.append(f"{where}: [{own}] has no key {key}")
            elif section != own and section not in PLAIN_SECTIONS:
                errors.append(f"{where}: a .{path.suffix[1:]} file has no section [{section}]")
            elif key == "Image" and value.rsplit(":", 1)[0] not in images():
                errors.append(f"{where}: no stage of the Containerfile makes {value}")
            elif key in ("Network", "Volume") and re.search(r"\.(network|volume)", value) and value.split(":")[0] not in names:
                errors.append(f"{where}: there is no file {value.split(':')[0]}")
    return errors, f"{len(files)} files, {'by ' + generator if generator else 'by the table of keys: this podman has no generator'}"


def check_units():
    analyze, errors = shutil.which("systemd-analyze"), []
    if not analyze:
        return ["systemd-analyze is not here: install systemd"], ""
    with tempfile.TemporaryDirectory() as folder:
        units = []
        for path in sorted((DEPLOY / "systemd").glob("*.service")):
            text = path.read_text()
            for program in re.findall(r"^Exec\w+=(/\S+)", text, re.M):
                text = text.replace(program, "/bin/true") # the programs are not installed on the machine that tests
            unit = pathlib.Path(folder) / path.name
            unit.write_text(text)
            units.append(unit)
        run = subprocess.run([analyze, "verify", "--man=no", *map(str, units)], capture_output=True, text=True)
        errors += [line for line in run.stderr.splitlines() if "mayfly" in line]
        if run.returncode and not errors:
            errors.append(run.stderr)
        said = []
        for unit in units:
            run = subprocess.run([analyze, "security", "--offline=true", "--no-pager", str(unit)], capture_output=True, text=True)
            level = float(re.search(r"exposure level for \S+: ([\d.]+)", run.stdout)[1])
            said.append(f"{unit.stem} {level}")
            if level > EXPOSED_AT_MOST[unit.stem]:
                errors.append(f"{unit.name}: exposed {level}, at most {EXPOSED_AT_MOST[unit.stem]}")
    return errors, "exposed: " + ", ".join(said)


def main():
    checks = {"kubernetes": check_kubernetes, "compose": check_compose, "quadlet": check_quadlet, "units": check_units}
    errors, said = checks[sys.argv[1]]()
    for error in errors:
        print(f"deploy/{sys.argv[1]}: {error}")
    print(f"{sys.argv[1]}: {'not ' if errors else ''}good: {said}")
    sys.exit(bool(errors))


main()
