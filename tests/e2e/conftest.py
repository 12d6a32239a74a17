"""Fixtures of the end-to-end tests: real clusters of real processes, made by `mayfly dev`, ended by it, and proven ended."""
import pathlib
import shutil
import tempfile

import pytest

import netns
from cluster import Cluster, processes_with

NO_NAMESPACES = "NO NETWORK NAMESPACES HERE"  # ctest shows a test that says so as skipped


def make_cluster(request, driver, nodes, **more):
    state = pathlib.Path(tempfile.mkdtemp(prefix="mf-", dir="/tmp"))
    cluster = Cluster(state, nodes, driver, **more)
    subnet = None
    try:
        cluster.up()
        subnet = netns.Net(cluster).subnet if more.get("netns") else None
        yield cluster
    finally:
        failed = getattr(request.node, "failed", False)
        if failed:
            cluster.print_logs()
        cluster.down()
        left = processes_with(str(state))
        complaints = cluster.complaints()
        namespaces = netns.leftovers(subnet) if subnet else []
        if subnet:
            netns.sweep(subnet)
        shutil.rmtree(state, ignore_errors=True)
    assert left == [], f"processes left after dev down: {left}"
    assert namespaces == [], f"left of its network: {namespaces}"
    assert complaints == [], "a program failed an assertion or a sanitizer:\n" + "\n".join(complaints)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        item.failed = True


@pytest.fixture
def null1(request):
    yield from make_cluster(request, "null", 1)


@pytest.fixture
def null3(request):
    yield from make_cluster(request, "null", 3)


@pytest.fixture
def null4(request):
    yield from make_cluster(request, "null", 4)


@pytest.fixture
def qemu3(request):
    yield from make_cluster(request, "libvirt", 3)


def make_net(request, driver, nodes, **more):
    """Like make_cluster, in network namespaces; (cluster, net)."""
    why = netns.missing()
    if why:
        pytest.skip(f"{NO_NAMESPACES}: {why}")
    for cluster in make_cluster(request, driver, nodes, netns=True, **more):
        yield cluster, netns.Net(cluster)


@pytest.fixture
def net4(request):
    yield from make_net(request, "null", 4, racks=2)


@pytest.fixture
def net4x3(request):
    yield from make_net(request, "null", 4, monitors=3)


@pytest.fixture
def qemu_net3(request):
    yield from make_net(request, "libvirt", 3, settings={"lease_ms": 4000})
