"""What is sent to a Ray cluster, and what is refused before anything is; no cluster runs here."""

import importlib.util
import json
import sys
from dataclasses import replace

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.small import small_model, stripes_data
from workbench import ray_points as package
from workbench.curves import SensitivitySettings
from workbench.errors import JobError, SettingsError
from workbench.loading import load_model
from workbench.ray_points import ray_points, share_places
from workbench.ray_points.there import measure
from workbench.sensitivity import measure_points, measure_sensitivity

PLACES = [("", 0.0), *((group, level) for level in (0.5, 0.9, 0.7) for group in "abcde")]


@given(
    st.lists(st.tuples(st.sampled_from("abcdefg"), st.sampled_from((0.1, 0.2, 0.3, 0.4)))),
    st.integers(1, 12),
    st.booleans(),
)
def test_every_place_is_in_one_task_and_tasks_are_balanced(places, most, whole):
    tasks = share_places(places, most, whole)
    wanted = list(dict.fromkeys(places))
    assert sorted(place for task in tasks for place in task) == sorted(wanted)
    assert len(tasks) <= most
    assert all(tasks)
    assert [task[0] for task in tasks] == sorted((t[0] for t in tasks), key=wanted.index)
    assert all(task == sorted(task, key=wanted.index) for task in tasks)
    if whole:
        homes = [{group for group, _ in task} for task in tasks]
        assert sum(map(len, homes)) == len({group for group, _ in places})
    elif tasks:
        sizes = [len(task) for task in tasks]
        assert max(sizes) - min(sizes) <= -(-len(places) // most)


def test_a_group_stays_together_where_it_fits_into_a_task():
    tasks = share_places(PLACES, 3)
    assert all(sum(group in dict(task) for task in tasks) == 1 for group in "abcde")
    assert [len(task) for task in tasks] == [4, 6, 6]


def test_one_group_alone_is_spread_over_the_workers():
    one = [("a", level / 10) for level in range(1, 9)]
    assert [len(task) for task in share_places(one, 4)] == [2, 2, 2, 2]
    assert share_places(one, 4, whole=True) == [one]


class Shelf(dict):
    """Objects of a cluster that is this process."""

    def get(self, reference):
        return self[reference]


@pytest.fixture
def cluster(monkeypatch):
    """Ray's ``get`` without Ray: references are the names of what lies on the shelf."""
    shelf = Shelf()
    monkeypatch.setitem(sys.modules, "ray", shelf)
    return shelf


def order(model, data, settings, places, factory=""):
    """What a task is told, and the shelf that it takes from."""
    asked = {
        "version": package.__version__, "model": package._recipe(model, factory),
        "data": package._description(data), "settings": settings.to_dict(), "places": places,
        "known": [],
    }  # fmt: skip
    return json.dumps(asked), {model.digest: "weights", data.digest: "arrays"}


SETTINGS = SensitivitySettings(levels=(0.5, 0.9), num_samples=30, repair="bn")


def test_a_task_measures_what_is_measured_here(cluster):
    model, data = small_model(), stripes_data()
    places = [("conv2", 0.5), ("", 0.0), ("fc", 0.9)]
    asked, shelf = order(model, data, SETTINGS, places, "tests.unit.small:SmallNet")
    cluster["weights"] = package._packed(model)
    cluster["arrays"] = {name: getattr(data, name) for name in package._ARRAYS}
    assert len(asked) < 2_000, "digests and settings, neither weights nor images"
    threads = torch.get_num_threads()
    found = list(measure(asked, shelf))
    here = [point.to_dict() for point in measure_points(model, data, SETTINGS, places)]
    torch.set_num_threads(threads)
    assert found == here


def test_the_network_must_be_the_one_that_was_asked_for(cluster):
    model, data = small_model(1), stripes_data()
    asked, shelf = order(model, data, SETTINGS, [], "tests.unit.small:SmallNet")
    cluster["weights"] = package._packed(small_model(2))
    with pytest.raises(JobError, match="small has digest"):
        list(measure(asked, shelf))


def test_another_version_is_refused(cluster):
    asked, shelf = order(load_model("digits-mlp"), stripes_data(), SETTINGS, [])
    older = json.dumps(json.loads(asked) | {"version": "0.0"})
    with pytest.raises(JobError, match=r"this machine 0\.0"):
        list(measure(older, shelf))


def test_weights_travel_as_safetensors_shared_ones_too():
    model = small_model()
    model.module.fc.bias = torch.nn.Parameter(torch.arange(6.0))
    model.module.tied = model.module.fc.bias
    packed = safetensors.torch.load(package._packed(model))
    own = model.module.state_dict()
    assert packed.keys() == own.keys()
    assert all(torch.equal(packed[name], own[name]) for name in own)


@pytest.mark.parametrize("address", ["", "cluster", "host:port", "http://host:1", "host:0", ":1"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(SettingsError, match="is no address of Ray"):
        ray_points(address)


def test_an_absent_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(package, "find_spec", lambda name: None)
    with pytest.raises(SettingsError) as caught:
        ray_points("local")
    assert str(caught.value) == (
        "Ray is not installed. Install it: pip install 'pruning-workbench[ray]'."
    )
    assert importlib.util.find_spec("ray"), "the extra dev has it"


def test_a_cluster_that_does_not_answer_is_one_message():
    source = ray_points("localhost:1", factory="tests.unit.small:SmallNet")
    with pytest.raises(JobError, match=r"Ray at localhost:1 cannot be reached: \w") as caught:
        measure_sensitivity(small_model(), stripes_data(), SETTINGS, source=source)
    assert "nothing that was measured is lost" in caught.value.hint


def test_a_network_that_nobody_else_can_build_is_refused():
    with pytest.raises(SettingsError, match="small is of no architecture"):
        measure_sensitivity(
            replace(small_model(), architecture=""), stripes_data(), SETTINGS,
            source=ray_points("local"),
        )  # fmt: skip
