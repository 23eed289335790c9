"""Folded frozen batch norms compute what torchvision's separate ones do."""

import copy
from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v3_small, resnet18, resnet50
from torchvision.ops import Conv2dNormActivation, FrozenBatchNorm2d

from dmaskrcnn.detector.frozen_batchnorm import FoldedTogether, fold_frozen_batchnorm


def frozen(build, **options):
    torch.manual_seed(0)
    model = build(weights=None, num_classes=3, norm_layer=FrozenBatchNorm2d, **options).eval()
    for norm in model.modules():
        if isinstance(norm, FrozenBatchNorm2d):
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.normal_()
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    return model.double()  # in float64 a difference is an error, not rounding


def result_and_gradients(model, size=64):
    images = torch.randn(
        2, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    ).requires_grad_()
    result = model(images)
    model.zero_grad()
    (result / result.detach().abs().mean()).square().sum().backward()
    return [result, images.grad, *(p.grad for p in model.parameters())]


@pytest.mark.parametrize("build", [resnet18, resnet50, mobilenet_v3_small])
def test_function_and_gradients_stay(build):
    plain = frozen(build)
    folded = fold_frozen_batchnorm(copy.deepcopy(plain))
    # none was overlooked
    assert not any(type(module) is FrozenBatchNorm2d for module in folded.modules())
    for value, expected in zip(
        result_and_gradients(folded), result_and_gradients(plain), strict=True
    ):
        torch.testing.assert_close(
            value, expected, rtol=1e-8, atol=1e-8 * expected.abs().max().item()
        )


def test_convolution_with_bias():
    torch.manual_seed(0)
    plain = Conv2dNormActivation(3, 4, norm_layer=FrozenBatchNorm2d, bias=True)
    plain[1].running_mean.normal_()
    images = torch.randn(1, 3, 8, 8)
    expected = plain(images)
    torch.testing.assert_close(fold_frozen_batchnorm(plain)(images), expected)


def test_state_dict_is_torchvisions_both_ways():
    plain, other = frozen(resnet18), frozen(resnet18)
    for parameter in other.parameters():
        nn.init.normal_(parameter, std=0.05)
    other.bn1.running_mean.fill_(3)
    folded = fold_frozen_batchnorm(frozen(resnet18))
    assert list(folded.state_dict()) == list(plain.state_dict())
    assert [name for name, _ in folded.named_modules()] == [
        name for name, _ in plain.named_modules()
    ]
    images = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    # after folding: weights and statistics must take effect
    folded.load_state_dict(other.state_dict())
    torch.testing.assert_close(folded(images), other(images))
    plain.load_state_dict(folded.state_dict())
    torch.testing.assert_close(plain(images), other(images))


def test_deep_copy_is_independent():
    folded = fold_frozen_batchnorm(frozen(resnet18))
    images = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    before = folded(images)
    twin = copy.deepcopy(folded)
    assert torch.equal(twin(images), before)
    assert twin.conv1.following_norm[0] is twin.bn1
    twin.bn1.running_mean.add_(1)
    assert not torch.allclose(twin(images), before)
    assert torch.equal(folded(images), before)


def test_folding_twice_changes_nothing():
    folded = fold_frozen_batchnorm(frozen(resnet18))
    images = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    before = folded(images)
    assert torch.equal(fold_frozen_batchnorm(folded)(images), before)


def test_trained_batch_norms_are_left_alone():
    model = resnet18(weights=None)
    assert all(type(m) is not FrozenBatchNorm2d for m in fold_frozen_batchnorm(model).modules())
    assert type(model.conv1) is nn.Conv2d
    assert type(model.bn1) is nn.BatchNorm2d


def test_autocast_keeps_activations_in_bf16():
    folded = fold_frozen_batchnorm(frozen(resnet18)).float().to(memory_format=torch.channels_last)
    dtypes = []
    folded.layer2.register_forward_hook(
        lambda _m, _i, out: dtypes.append(
            (out.dtype, out.is_contiguous(memory_format=torch.channels_last))
        )
    )
    with torch.autocast("cpu", torch.bfloat16):
        folded(
            torch.randn(1, 3, 64, 64).contiguous(memory_format=torch.channels_last)
        ).float().sum().backward()
    assert dtypes == [(torch.bfloat16, True)]
    assert folded.conv1.weight.grad.dtype == torch.float32


def test_predictions_fold_once_and_follow_every_change():
    model = fold_frozen_batchnorm(frozen(resnet18)).float()
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    convolution = model.conv1

    def agree() -> bool:
        with torch.no_grad():
            expected = model(images)
        with torch.inference_mode():
            first, kept = model(images), convolution.kept.values
            again = model(images)
        assert convolution.kept.values is kept is not None
        return torch.equal(first, expected) and torch.equal(again, expected)

    assert agree()
    model(images).sum().backward()
    assert convolution.kept.values is None  # a training holds no second copy
    assert agree()
    before = model.state_dict()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert agree()
    model.bn1.running_mean.add_(1)
    assert agree()
    model.load_state_dict(frozen(resnet18).state_dict())
    assert agree()
    convolution.weight.data = torch.randn_like(convolution.weight)
    assert agree()
    assert list(before) == list(model.state_dict())
    with torch.inference_mode():
        model(images)
    assert copy.deepcopy(model).conv1.kept.values is None


def test_predictions_in_mixed_precision_are_those_of_autocast():
    model = fold_frozen_batchnorm(frozen(resnet18)).float()
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with torch.no_grad():
            expected = model(images)
        with torch.inference_mode():
            assert torch.equal(model(images), expected)
            assert model.conv1.kept.values[1].dtype == torch.bfloat16
    with torch.inference_mode():
        assert model(images).dtype == torch.float32


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_all_at_once_is_as_one_by_one(dtype):
    """Output and gradients, also where a convolution is frozen."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), FrozenBatchNorm2d(8), nn.Conv2d(8, 4, 1), FrozenBatchNorm2d(4)
    )
    for norm in (network[1], network[3]):
        for buffer in norm.buffers():
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    fold_frozen_batchnorm(network)
    network[0].requires_grad_(False)
    image = torch.randn(2, 3, 16, 16)
    results = []
    for together in (False, True):
        network.zero_grad(set_to_none=True)
        with (
            FoldedTogether(network, dtype) if together else nullcontext(),
            torch.autocast("cpu", torch.bfloat16, enabled=dtype is not None),
        ):
            output = network(image)
        output.float().square().mean().backward()
        assert network[0].weight.grad is None
        results.append((output.detach(), network[2].weight.grad))
    (output, gradient), (other, its_gradient) = results
    assert output.dtype == other.dtype
    close = {"rtol": 1e-5, "atol": 1e-6} if dtype is None else {"rtol": 2e-2, "atol": 2e-2}
    torch.testing.assert_close(other, output, **close)
    torch.testing.assert_close(its_gradient, gradient, **close)
    assert "folded" not in vars(network[0])
