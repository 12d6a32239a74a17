"""Fixtures of the end-to-end tests: real clusters of real processes, made by `mayfly dev`, ended by it, and proven ended."""
import pathlib
import shutil
import tempfile

import pytest

from cluster import Cluster, processes_with


def make_cluster(request, driver, nodes, **more):
    state = pathlib.Path(tempfile.mkdtemp(prefix="mf-", dir="/tmp"))
    cluster = Cluster(state, nodes, driver, **more)
    try:
        cluster.up()
        yield cluster
    finally:
        failed = getattr(request.node, "failed", False)
        if failed:
            cluster.print_logs()
        cluster.down()
        left = processes_with(str(state))
        complaints = cluster.complaints()
        shutil.rmtree(state, ignore_errors=True)
    assert left == [], f"processes left after dev down: {left}"
    assert complaints == [], "a program failed an assertion or a sanitizer:\n" + "\n".join(complaints)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        item.failed = True


@pytest.fixture
def null3(request):
    yield from make_cluster(request, "null", 3)


@pytest.fixture
def null4(request):
    yield from make_cluster(request, "null", 4)


@pytest.fixture
def qemu3(request):
    yield from make_cluster(request, "libvirt", 3)
