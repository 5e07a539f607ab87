import pytest
import torch

from fedchunk.actors.client.star import StarClient
from fedchunk.orchestrator.core.errors import ConfigError


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_torch_does_not_find_is_a_fault_of_the_settings(make_settings, run_local):
    with pytest.raises(ConfigError, match=r"device: torch .* finds no GPU .*set device: cpu"):
        run_local(make_settings(device="cuda"))


def test_bfloat16_on_a_gpu_without_it_is_a_fault_of_the_settings(monkeypatch, make_settings, run_local):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)

    with pytest.raises(ConfigError, match="mixed_precision: this GPU has no bfloat16"):
        run_local(make_settings(device="cuda", mixed_precision="bfloat16"))


def lost(device=None):
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


def test_a_gpu_that_refuses_everything_is_noticed(monkeypatch, make_settings, run_local):
    made = []

    def make(settings, device, data):
        made.append(StarClient(settings, device, data))
        return made[0]

    run_local(make_settings(), make)
    monkeypatch.setattr(torch.cuda, "synchronize", lost)

    assert made[0].device_works()
    made[0]._worker._device = torch.device("cuda")
    assert not made[0].device_works()
