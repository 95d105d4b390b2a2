"""Of the variables of an image, none chooses devices or reaches into the programs that hand them out."""

from __future__ import annotations

import pytest

from gpulease_host.docker_engine.image_environment import corrections

ROOT = "/var/lib/docker"

KEPT = (
    "A=b",
    "PATH=/x",
    "LANG=C",
    "TMPDIR=/scratch",
    "NVIDIA_DRIVER_CAPABILITIES=compute,utility",
    "NVIDIA_REQUIRE_CUDA=cuda>=12.4",
    "NVIDIA_DISABLE_REQUIRE=1",
    "NVIDIA_PYTORCH_VERSION=24.01",
    "NVIDIA_PRODUCT_NAME=PyTorch",
    "NVIDIA_BUILD_ID=7",
    "LD_LIBRARY_PATH=/usr/local/nvidia/lib:/usr/local/nvidia/lib64",
    "LD_LIBRARY_PATH=/lib",
    "LD_PRELOAD=/usr/lib/x86_64-linux-gnu/libtcmalloc.so.4 /opt/x/y.so",
)
REMOVED = (
    "NVIDIA_VISIBLE_DEVICES=all",
    "NVIDIA_MIG_CONFIG_DEVICES=all",
    "NVIDIA_MIG_MONITOR_DEVICES=all",
    "NVIDIA_IMEX_CHANNELS=0",
    "NVIDIA_GDS=enabled",
    "nvidia_mofed=enabled",
    "NVIDIA_X_VERSION_X=1",
    "DOCKER_RESOURCE_GPU=all",
    "LD_AUDIT=/usr/lib/x.so",
    "LD_DEBUG_OUTPUT=/usr/x",
    "GLIBC_TUNABLES=glibc.malloc.check=1",
    "GCONV_PATH=/x",
)
NOT_THE_SYSTEMS = ("/proc/self/cwd/poc.so", "x.so", "./x.so", "", "/usr/../proc/self/cwd/x.so", "/", "/usrx/x.so",
                   "/usr/$ORIGIN/x.so", "/var/lib/docker/overlay2/a/diff/x.so", "/dev/fd/3", "//proc/x", "/opt/..",
                   "/usr/./../proc/x", ":", ";/proc/self/cwd")  # fmt: skip


@pytest.mark.parametrize("variable", KEPT)
def test_what_only_tells_something_is_kept(variable: str) -> None:
    assert corrections([variable], ROOT) == {}


@pytest.mark.parametrize("variable", REMOVED)
def test_what_the_hook_or_libc_obeys_is_removed(variable: str) -> None:
    assert corrections(["A=b", variable], ROOT) == {variable.partition("=")[0]: None}


@pytest.mark.parametrize("path", NOT_THE_SYSTEMS)
@pytest.mark.parametrize("name", ["LD_PRELOAD", "LD_LIBRARY_PATH"])
def test_libraries_of_anywhere_but_the_systems_folders_are_not_loaded(name: str, path: str) -> None:
    assert corrections([f"{name}={path}"], ROOT) == {name: None}


@pytest.mark.parametrize("separator", [":", ";", " "])
@pytest.mark.parametrize("name", ["LD_PRELOAD", "LD_LIBRARY_PATH"])
def test_what_is_not_the_systems_is_taken_out_and_the_rest_stays(name: str, separator: str) -> None:
    """As in the common form with an empty one at its end, which means the working directory."""
    items = ("/usr/local/cuda/lib64", "/proc/self/cwd", "/opt/conda/lib", "")
    assert corrections([f"{name}={separator.join(items)}"], ROOT) == {name: "/usr/local/cuda/lib64:/opt/conda/lib"}


def test_dockers_own_data_is_not_the_systems_wherever_it_lies() -> None:
    image = ["LD_PRELOAD=/opt/docker/overlay2/a/diff/x.so", "LD_LIBRARY_PATH=/opt/dockers"]
    assert corrections(image, "/opt/docker") == {"LD_PRELOAD": None}


def test_a_variable_that_an_image_has_twice_goes_where_one_of_them_would() -> None:
    evil, good = "LD_PRELOAD=/proc/self/cwd/x.so", "LD_PRELOAD=/usr/lib/x.so"
    assert corrections([good, evil], ROOT) == corrections([evil, good], ROOT) == {"LD_PRELOAD": None}
