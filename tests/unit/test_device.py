"""Devices: what is there is taken, what is not is refused."""

import pytest
import torch
from torch import nn

from workbench.device import choose_device, on_device
from workbench.errors import SettingsError


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(2, True, "cuda"), (0, True, "mps"), (0, False, "cpu")],
)
def test_auto_takes_the_fastest_there_is(
    monkeypatch: pytest.MonkeyPatch, cuda: int, mps: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device() == choose_device("auto") == torch.device(expected)
    assert choose_device("cpu") == torch.device("cpu")
    if cuda:
        assert choose_device("cuda:1") == torch.device("cuda:1")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "gpu",
            "There is no device 'gpu'. Did you mean 'cpu'? Choose one of: auto, cpu, cuda, mps.",
        ),
        ("cuda:x", "There is no device 'cuda:x'."),
        ("cuda:9", "This machine has no device 'cuda:9'. Choose 'auto' to take what it has."),
        ("cpu:1", "This machine has no device 'cpu:1'."),
    ],
)
def test_others_are_refused(monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(SettingsError) as refused:
        choose_device(name)
    assert str(refused.value).startswith(message)


def test_a_module_is_copied_only_where_it_must_be() -> None:
    module = nn.Linear(2, 2).eval()
    assert on_device(module, "cpu") is module
    module.train()
    copy = on_device(module, "cpu")
    assert copy is not module
    assert not copy.training
    assert module.training
    elsewhere = on_device(module, "meta")
    assert elsewhere.weight.device.type == "meta"
    assert module.weight.device.type == "cpu"
