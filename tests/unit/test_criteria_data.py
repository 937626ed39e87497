"""Criteria that look at images: against loops over images, finite differences, brute force."""

import threading
from functools import cache

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.unit.small import small_model, stripes_data
from workbench import surgery
from workbench.criteria import CRITERIA, fitting_criteria, get_criterion
from workbench.data import Data
from workbench.errors import PlanError
from workbench.evidence import Evidence
from workbench.gathering import GATHERERS
from workbench.gathering.activations import gather_activations
from workbench.gathering.gradients import _one_by_one, gather_gradients, gradients_by_image
from workbench.gathering.grams import gather_grams
from workbench.gathering.movement import LEARNING_RATE, gather_movement
from workbench.gathering.watching import Seen, watching
from workbench.groups import Group, find_groups
from workbench.model import Model, with_data
from workbench.scoring import score_layer, score_units
from workbench.unit_scores import rank_units

BY_DATA = [name for name, one in CRITERIA.items() if one.needs_data]


@cache
def data() -> Data:
    return stripes_data()


@cache
def model() -> Model:
    return with_data(small_model(), data())


@cache
def groups() -> dict[str, Group]:
    return {group.name: group for group in find_groups(model(), "channel").prunable}


def units(name: str, group: str, of: Model | None = None) -> Tensor:
    return score_units(get_criterion(name), of or model(), groups()[group])


def weights(name: str, parameter: str) -> Tensor:
    return score_layer(get_criterion(name), model(), parameter).double()


def train() -> tuple[Tensor, Tensor]:
    split = data().split("train", 512)
    return split.images, split.labels


def slopes_of(network: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Gradients of the mean loss, by autograd."""
    loss = F.cross_entropy(network(images), labels)
    named = [*network.named_parameters()]
    return dict(
        zip((n for n, _ in named), torch.autograd.grad(loss, [p for _, p in named]), strict=True)
    )


# --- gradients ---


@cache
def by_image() -> dict[str, Tensor]:
    network, (images, labels) = small_model().module, train()
    each = [
        slopes_of(network, image[None], label[None])
        for image, label in zip(images, labels, strict=True)
    ]
    return {name: torch.stack([one[name] for one in each]).double() for name in each[0]}


def test_fisher_is_half_the_square_times_the_mean_squared_gradient_of_an_image() -> None:
    for name in ("conv1.weight", "conv2.weight", "classifier.weight"):
        weight = model().module.get_parameter(name).detach().double()
        expected = weight**2 * by_image()[name].square().mean(0) / 2
        assert torch.allclose(weights("fisher", name), expected, rtol=1e-4, atol=1e-12)


def test_gradient_and_taylor_average_the_absolute_gradients_of_batches() -> None:
    network, (images, labels) = small_model().module, train()
    sizes = torch.zeros_like(network.fc.weight)
    for some, theirs in zip(images.split(32), labels.split(32), strict=True):
        sizes += slopes_of(network, some, theirs)["fc.weight"].abs() * len(some) / len(images)
    assert torch.allclose(weights("gradient", "fc.weight"), sizes.double(), rtol=1e-4, atol=1e-8)
    expected = (sizes * network.fc.weight.abs()).detach().double()
    assert torch.allclose(weights("taylor", "fc.weight"), expected, rtol=1e-4, atol=1e-9)


def loss_with_factor(group: str, unit: int, factor: float, image: int) -> float:
    """The loss of an image with everything that reads a unit of ``conv2`` or ``fc`` scaled."""
    network = small_model().module.double()
    reader, places = {"conv2": ("fc", 9), "fc": ("classifier", 1)}[group]
    with torch.no_grad():
        weight = network.get_parameter(f"{reader}.weight")
        weight[:, unit * places : (unit + 1) * places] *= factor
        images, labels = train()
        scores = network(images[image : image + 1].double())
        return float(F.cross_entropy(scores, labels[image : image + 1]))


def test_units_are_ranked_by_the_derivative_of_the_loss_by_a_factor_on_what_they_say() -> None:
    found = gather_gradients(model(), data(), 0)
    step = 1e-4
    for group, name, places in (("conv2", "fc.weight", 9), ("fc", "classifier.weight", 1)):
        for unit, image in ((0, 0), (2, 7), (5, 40)):
            up = loss_with_factor(group, unit, 1 + step, image)
            down = loss_with_factor(group, unit, 1 - step, image)
            along = found[f"along/1/{name}"][image, unit * places : (unit + 1) * places]
            assert float(along.sum()) == pytest.approx((up - down) / (2 * step), abs=1e-5)


def test_taylor_and_fisher_of_units_from_the_slopes_of_single_images() -> None:
    weight = model().module.classifier.weight.detach().double()
    slopes = (by_image()["classifier.weight"] * weight).sum(1)  # images x units
    means = torch.stack([part.mean(0) for part in slopes.split(32)])
    assert torch.allclose(units("taylor", "fc"), means.square().mean(0).sqrt(), rtol=1e-4)
    assert torch.allclose(units("fisher", "fc"), slopes.square().mean(0) / 2, rtol=1e-4)


class Rows(nn.Module):
    """A recurrent network for the stripes."""

    def __init__(self, kind: type[nn.RNNBase] = nn.GRU, **more: object) -> None:
        super().__init__()
        self.gru = kind(6, 4, 2, batch_first=True, **more)
        self.classifier = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.gru(x.flatten(1, 2))[0][:, -1])


def test_all_images_at_once_and_one_by_one_give_the_same() -> None:
    images, labels = train()
    torch.manual_seed(0)
    for network in (small_model().module, Rows().eval()):
        (fast,) = gradients_by_image(network, images[:5], labels[:5])
        slow = _one_by_one(network, images[:5], labels[:5])
        assert fast.keys() == slow.keys()
        for name, value in fast.items():
            assert torch.allclose(value, slow[name], atol=1e-6)


class Odd(nn.Module):
    """Does what ``torch.func`` cannot: it asks for a number."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(36, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.flatten(1)) * (2 if x.sum().item() > 0 else 1)


def test_a_network_that_cannot_run_at_once_is_differentiated_slowly() -> None:
    images, labels = train()
    torch.manual_seed(0)
    network = Odd()
    (found,) = gradients_by_image(network, images[:4], labels[:4])
    for number in range(4):
        expected = slopes_of(network, images[number, None], labels[number, None])["fc.weight"]
        assert torch.allclose(found["fc.weight"][number], expected, atol=1e-6)


def test_movement_adds_up_what_plain_steps_do() -> None:
    network, (images, labels) = small_model().module, train()
    optimizer = torch.optim.SGD(network.parameters(), LEARNING_RATE)
    moved, steps = torch.zeros_like(network.fc.weight), 0
    for some, theirs in zip(images.split(32), labels.split(32), strict=True):
        optimizer.zero_grad()
        F.cross_entropy(network(some), theirs).backward()
        moved -= (network.fc.weight * network.fc.weight.grad).detach()
        optimizer.step()
        steps += 1
    expected = (moved / steps).detach()
    assert torch.allclose(gather_movement(model(), data(), 0)["fc.weight"], expected, atol=1e-6)
    by_hand = expected.double().sum(0).view(2, 4, 9).sum((0, 2))
    assert torch.allclose(units("movement", "conv2"), by_hand, atol=1e-6)


# --- what is read ---


@pytest.mark.parametrize("more", [{}, {"bidirectional": True}, {"bias": False}])
@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
def test_recurrent_layers_step_by_step_give_what_torch_gives(kind, more) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    layer = kind(5, 3, 2, batch_first=True, **more).eval()
    x = torch.randn(4, 6, 5)
    seen: list[Seen] = []
    with torch.no_grad():
        expected, last = layer(x)
        with watching(layer, seen.append):
            found, last_too = layer(x)
    assert torch.allclose(found, expected, atol=1e-6)
    pairs = zip(last, last_too, strict=True) if kind is nn.LSTM else [(last, last_too)]
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in pairs)
    assert {one.parameter for one in seen} == {
        name for name, value in layer.named_parameters() if value.dim() == 2
    }


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_a_projected_lstm_and_a_relu_cell_unroll_too() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 4, 5)
    for layer in (nn.LSTM(5, 3, proj_size=2).eval(), nn.RNN(5, 3, nonlinearity="relu").eval()):
        with torch.no_grad():
            expected = layer(x)[0]
            with watching(layer):
                assert torch.allclose(layer(x)[0], expected, atol=1e-6)


def read_by(name: str) -> Tensor:
    """What ``fc`` or ``classifier`` is multiplied with on the calibration images."""
    network, found = small_model().module, []
    hook = network.get_submodule(name).register_forward_pre_hook(lambda _, x: found.append(x[0]))
    with torch.no_grad():
        network(data().split("calibration", 512).images)
    hook.remove()
    return found[0]


def test_activations_against_numpy_and_scipy() -> None:
    x = read_by("classifier").numpy()
    first = x[:128]  # all of them: there are 128 calibration images
    edges = np.linspace(first.min(), first.max(), 33)
    entropies = [scipy.stats.entropy(np.histogram(column, edges)[0]) for column in x.T]
    assert np.allclose(units("entropy", "fc"), entropies, atol=1e-3)
    assert np.allclose(units("entropy_max", "fc"), np.log(32) - entropies, atol=1e-3)
    near = 0.01 * np.sqrt((x**2).mean())
    assert np.allclose(units("apoz", "fc"), (np.abs(x) > near).mean(0))
    means = np.abs(x).mean(0)
    assert np.allclose(units("mean_activation", "fc"), means / means.mean(), rtol=1e-5)


def test_a_unit_of_two_channels_read_at_nine_places_is_the_mean_over_them() -> None:
    found = gather_activations(model(), data(), 0)["entropy/fc.weight"]
    assert torch.allclose(units("entropy", "conv2"), found.view(2, 4, 9).mean((0, 2)))


def test_wanda_is_the_weight_times_the_root_mean_square_of_its_input() -> None:
    weight = model().module.classifier.weight.detach()
    size = read_by("classifier").square().mean(0).sqrt()
    assert torch.allclose(weights("wanda", "classifier.weight"), (weight.abs() * size).double())


def test_grams_of_a_grouped_convolution_are_those_of_its_patches() -> None:
    network = small_model().module
    with torch.no_grad():
        x = network.norm(network.conv1(data().split("calibration", 512).images)).relu()
    patches = F.unfold(x, 3, padding=1, stride=2)  # images, 4 * 9, places
    rows = patches.unflatten(1, (2, 18)).permute(1, 0, 3, 2).flatten(1, 2)
    found = gather_grams(model(), data(), 0)
    expected = rows.mT @ rows / rows.shape[1]
    assert torch.allclose(found["inputs/conv2.weight"], expected, atol=1e-4)
    assert torch.allclose(found["means/conv2.weight"].float(), rows.mean(1), atol=1e-5)


def test_slopes_at_the_scores_are_beliefs_less_the_drawn_labels() -> None:
    images = data().split("calibration", 512).images
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros(3, 3)
    for batch in images.split(32):
        with torch.no_grad():
            beliefs = small_model().module(batch).softmax(1)
        for _ in range(2):
            drawn = beliefs.multinomial(1, generator=generator).view(-1)
            slope = beliefs - F.one_hot(drawn, 3)
            total += slope.T @ slope
    found = gather_grams(model(), data(), 0)["slopes/classifier.weight"]
    assert torch.allclose(found, total / (2 * len(images)), atol=1e-5)


# --- the surgeon, by brute force ---


def least_loss(gram: Tensor, worth: Tensor, weight: Tensor, gone: list[int]) -> float:
    """Half of tr(G D H D^T) for the best weights with some columns zero, by least squares."""
    kept = [column for column in range(weight.shape[1]) if column not in gone]
    best = torch.zeros_like(weight)
    solved = torch.linalg.lstsq(gram[kept][:, kept], (weight @ gram)[:, kept].T).solution
    best[:, kept] = solved.T
    moved = weight - best
    return float((worth @ moved @ gram @ moved.T).trace() / 2)


@pytest.fixture
def undamped(monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    monkeypatch.setattr(surgery, "DAMPING", 1e-12)
    found = gather_grams(model(), data(), 0)
    return {name: value.double() for name, value in found.items()}


def moments(found: dict[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    """Covariance of a layer's inputs, and what its outputs are worth with half the mean added."""
    mean, worth = found[f"means/{name}"][0], found[f"slopes/{name}"]
    spread = found[f"inputs/{name}"][0] - mean[:, None] * mean
    return spread, worth + 0.5 * worth.diagonal().mean() * torch.eye(len(worth))


def test_obs_of_a_weight_is_the_loss_after_the_best_compensation(
    undamped: dict[str, Tensor],
) -> None:
    weight = model().module.classifier.weight.detach().double()
    gram, worth = moments(undamped, "classifier.weight")
    found = weights("obs", "classifier.weight")
    for row, column in ((0, 0), (1, 3), (2, 5)):
        alone = least_loss(gram, worth[row, row].view(1, 1), weight[row, None], [column])
        assert float(found[row, column]) == pytest.approx(alone, rel=1e-4)


def test_obs_takes_units_out_one_by_one_as_brute_force_does(undamped: dict[str, Tensor]) -> None:
    weight = model().module.fc.weight.detach().double()
    gram, worth = moments(undamped, "fc.weight")
    gram = gram + 1e-12 * gram.diagonal().mean() * torch.eye(len(gram))
    found = units("obs", "conv2")
    own = [[*range(9 * one, 9 * one + 9), *range(9 * one + 36, 9 * one + 45)] for one in range(4)]
    gone: list[int] = []
    for unit in found.argsort(stable=True).tolist():
        left = [one for one in range(4) if own[one][0] not in gone]
        losses = {one: least_loss(gram, worth, weight, [*gone, *own[one]]) for one in left}
        assert min(losses, key=losses.get) == unit  # type: ignore[arg-type]
        assert float(found[unit]) == pytest.approx(losses[unit], rel=1e-3, abs=1e-9)
        gone += own[unit]


def test_obs_lets_one_of_two_equal_units_go_for_nothing_and_fisher_does_not() -> None:
    twins = small_model()
    with torch.no_grad():
        network = twins.module
        for tensor in (network.fc.weight, network.fc.bias):
            tensor[1] = tensor[4]
    seen = with_data(twins, data())
    found = units("obs", "fc", seen)
    pair = found[[1, 4]].sort().values
    assert float(pair[0]) <= float(found.sort().values[2]) < float(pair[1]) + 1e-12
    assert float(pair[0]) < 0.1 * float(pair[1])


# --- what holds for all ---


@pytest.mark.parametrize("name", BY_DATA)
def test_a_dead_unit_goes_first_and_the_model_stays_as_it_is(name: str) -> None:
    if name in ("movement", "entropy_max"):
        pytest.skip("ranks by the direction of training; keeps what says nothing")
    dead = small_model()
    with torch.no_grad():
        dead.module.fc.weight[3] = 0
        dead.module.fc.bias[3] = -1
    before = {key: value.clone() for key, value in dead.module.state_dict().items()}
    found = units(name, "fc", with_data(dead, data()))
    assert int(found.argmin()) == 3
    assert all(torch.equal(before[key], v) for key, v in dead.module.state_dict().items())
    assert all(parameter.requires_grad for parameter in dead.module.parameters())


@pytest.mark.parametrize("kind", GATHERERS)
def test_the_same_seed_gathers_the_same_and_leaves_global_randomness_alone(kind: str) -> None:
    state = torch.random.get_rng_state()
    first, second = (GATHERERS[kind](small_model(), data(), 3) for _ in range(2))
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    torch.manual_seed(0)
    expected = torch.random.get_rng_state()
    GATHERERS[kind](model(), data(), 3)
    assert torch.equal(torch.random.get_rng_state(), expected)
    torch.random.set_rng_state(state)


def test_recurrent_units_and_weights_can_be_ranked_by_all() -> None:
    torch.manual_seed(0)
    rows = with_data(Model("rows", Rows().eval(), (1, 6, 6), 3), data())
    (group,) = find_groups(rows, "channel").prunable
    for criterion in CRITERIA.values():
        assert score_units(criterion, rows, group).isfinite().all()
        if criterion.weights is not None:
            shape = score_layer(criterion, rows, "gru.weight_hh_l1").shape
            assert shape == rows.module.gru.weight_hh_l1.shape


class Aside(nn.Module):
    """Uses a layer's weight in a way that nobody watches."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(36, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.fc.weight.T + self.fc.bias


def test_what_cannot_be_seen_is_refused_by_name() -> None:
    aside = with_data(Model("aside", Aside().eval(), (1, 6, 6), 3), data())
    with pytest.raises(PlanError, match=r"'wanda' has to see what fc\.weight is multiplied with"):
        score_layer(get_criterion("wanda"), aside, "fc.weight")
    assert score_layer(get_criterion("taylor"), aside, "fc.weight").isfinite().all()


def test_criteria_that_fit() -> None:
    everything = set(CRITERIA)
    assert set(fitting_criteria("channel")) == everything
    assert "apoz" not in fitting_criteria("nm:2:4")
    assert "obs" in fitting_criteria("block:4x4")
    assert set(fitting_criteria("weight", images=False)) == {"l1", "l2", "random", "lamp"}
    with pytest.raises(PlanError, match="ranks whole channels, not single weights"):
        get_criterion("entropy", "weight")


def test_relative_scores_keep_their_order_where_some_are_negative() -> None:
    found = rank_units(model(), find_groups(model(), "channel"), "fc", "movement")
    assert list(found.scores) == sorted(found.scores)
    assert min(found.scores) < 0 < max(found.scores)


# --- the memory ---


def test_evidence_is_gathered_once_and_another_kind_need_not_wait(tmp_path) -> None:  # type: ignore[no-untyped-def]
    evidence = Evidence(stripes_data, tmp_path)
    begun, go_on, calls = threading.Event(), threading.Event(), []

    def slow(_data: Data, seed: int, _should_stop: object) -> dict[str, Tensor]:
        calls.append(seed)
        begun.set()
        assert go_on.wait(10)
        return {"x": torch.ones(2)}

    threads = [threading.Thread(target=evidence.recall, args=("m", "slow", slow)) for _ in "ab"]
    for thread in threads:
        thread.start()
    assert begun.wait(10)
    assert not evidence.knows("m", "slow")
    quick = evidence.recall("m", "quick", lambda *_: {"y": torch.zeros(1)})
    assert quick["y"].tolist() == [0]
    go_on.set()
    for thread in threads:
        thread.join()
    assert calls == [0]
    again = Evidence(stripes_data, tmp_path)
    assert again.knows("m", "slow")
    assert not Evidence(stripes_data, tmp_path, seed=1).knows("m", "slow")
