"""The text of a scenario (tests/scenarios/README.md): read and checked whole before anything is started."""
import re

MEMBER = r"(?:broker|health-\d+|node-\d+)"
NAME = r"[a-z0-9][a-z0-9-]{0,62}"
TIME = r"\d+(?:\.\d+)?(?:ms|s|m)"
EVENT = r"[a-z]+\.[a-z]+"
SUBJECT = r"\S+"

# verb: how the rest of the line reads. A group of the expression is an argument of the runner's method of that name.
STATEMENTS = {
    "cluster": r"(?P<options>(?:(?:nodes|monitors|racks)=\d+\s*)+)",
    "set": r"(?P<key>[a-z_]+) (?P<value>\S+)",
    "provision": rf"(?P<group>{NAME}) (?P<count>\d+)(?P<options>(?: (?:policy|min|image|spread)=\S+)*)",
    "scale": rf"(?P<group>{NAME}) (?P<count>\d+)",
    "kill": rf"(?:(?P<guest>guest {NAME}/\d+)|(?P<agent>agent )?(?P<name>{MEMBER}))",
    "stop": r"(?P<name>node-\d+)",
    "freeze": rf"(?P<agent>agent )?(?P<name>{MEMBER})",
    "thaw": rf"(?P<agent>agent )?(?P<name>{MEMBER})",
    "start": rf"(?P<name>{MEMBER})",
    "cut": rf"(?P<a>{MEMBER}|peers) (?P<b>{MEMBER}|peers)(?P<oneway> oneway)?",
    "heal": rf"(?:(?P<all>all)|(?P<a>{MEMBER}|peers) (?P<b>{MEMBER}|peers))",
    "clock": rf"(?P<name>node-\d+) (?P<by>[+-]{TIME})",
    "driver": r"(?P<name>node-\d+) (?P<how>fail|slow|ok)",
    "disk": r"(?P<name>broker|node-\d+) (?P<how>full|ok)",
    "operator": rf"(?P<verb>freeze|thaw|drain|cordon|uncordon|forget|destroy)(?: (?P<what>{NAME}))?",
    "subscribe": rf"(?P<how>slow|expired) (?P<name>{NAME})",
    "mark": r"",
    "expect": rf"(?:(?P<no>no )?event (?P<type>{EVENT})(?: (?!within |for |count=)(?P<subject>{SUBJECT}))?(?: count=(?P<count>\d+))? (?:within (?P<within>{TIME})|for (?P<lasting>{TIME}))"
              rf"|running (?P<running>{NAME}) (?P<wanted>\d+) within (?P<running_within>{TIME})"
              rf"|same (?P<same>{NAME})|single (?P<single>{NAME})|gone (?P<gone>{NAME}) within (?P<gone_within>{TIME}))",
}


class Wrong(Exception):
    """A scenario that can't be read: where, what, and what would be right."""


def seconds(text):
    sign = -1 if text.startswith("-") else 1
    number, unit = re.fullmatch(r"[+-]?([\d.]+)(ms|s|m)", text).groups()
    return sign * float(number) * {"ms": 0.001, "s": 1, "m": 60}[unit]


def options(text):
    return dict(word.partition("=")[::2] for word in (text or "").split())


class Statement:
    def __init__(self, number, text):
        self.number, self.text = number, text
        self.verb, _, rest = text.partition(" ")
        if self.verb not in STATEMENTS:
            raise Wrong(f"line {number}: {self.verb!r} is no statement; there are {', '.join(STATEMENTS)}")
        match = re.fullmatch(STATEMENTS[self.verb], rest.strip())
        if not match:
            raise Wrong(f"line {number}: cannot read {text!r}; see tests/scenarios/README.md for {self.verb}")
        self.words = match.groupdict()
        if self.verb == "expect" and self.words["type"] and bool(self.words["no"]) != bool(self.words["lasting"]):
            raise Wrong(f"line {number}: an event is expected `within T`, none `for T`: {text!r}")


def read(path):
    """[Statement]; the first is the cluster's, and all settings precede the first provision."""
    found = []
    for number, line in enumerate(open(path).read().splitlines(), 1):
        text = " ".join(line.partition("#")[0].split())
        if text:
            found.append(Statement(number, text))
    if not found or found[0].verb != "cluster":
        raise Wrong(f"line {found[0].number if found else 1}: the first statement is: cluster nodes=N")
    provisioned = False
    for statement in found[1:]:
        provisioned = provisioned or statement.verb == "provision"
        if statement.verb == "cluster" or statement.verb == "set" and provisioned:
            raise Wrong(f"line {statement.number}: {statement.verb} comes before the first provision")
    check_members(found)
    return found


def check_members(found):
    size = {"nodes": 0, "monitors": 1, **{k: int(v) for k, v in options(found[0].words["options"]).items()}}
    for statement in found[1:]:
        for word in statement.text.split():
            kind, _, number = word.partition("-")
            limit = {"node": size["nodes"], "health": size["monitors"]}.get(kind)
            if limit is not None and number.isdigit() and int(number) >= limit and statement.verb not in ("provision", "subscribe"):
                raise Wrong(f"line {statement.number}: there is no {word} in this cluster")
