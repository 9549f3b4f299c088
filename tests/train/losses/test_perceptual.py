import pytest
import torch
import torch.nn.functional as F

from editor.parts.efficientnet import EfficientNetLite0Features
from stylegan2.errors import CheckpointError, ShapeError
from train.losses import perceptual
from train.losses.perceptual import PerceptualDistance, load_perceptual


@pytest.fixture(scope="module")
def distance():
    return load_perceptual()


@pytest.fixture(scope="module")
def photo():
    from skimage import data

    side = torch.from_numpy(data.astronaut()[:256, 96:352].copy())
    return F.interpolate(side.permute(2, 0, 1)[None].float() / 127.5 - 1, size=64, mode="area")


def reference_features(published, img):
    """The published network spelled out: convolution, batch norm, ReLU6, without folding."""

    def conv_norm(x, conv, norm, stride, groups=1):
        weight = published[f"{conv}.weight"]
        pad = []
        for size in (x.shape[3], x.shape[2]):
            total = max((-(-size // stride) - 1) * stride + weight.shape[2] - size, 0)
            pad += [total // 2, total - total // 2]
        x = F.conv2d(F.pad(x, pad), weight, stride=stride, groups=groups)
        stats = [published[f"{norm}.{n}"] for n in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *stats, eps=1e-3)

    x = F.relu6(conv_norm(img, "_conv_stem", "_bn0", 2))
    levels = []
    strides = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2)
    for i, stride in enumerate(strides):
        name, before = f"_blocks.{i}.", x
        if i:
            x = F.relu6(conv_norm(x, f"{name}_expand_conv", f"{name}_bn0", 1))
        if stride == 2:
            levels.append(x)
        x = F.relu6(conv_norm(x, f"{name}_depthwise_conv", f"{name}_bn1", stride, groups=x.shape[1]))
        x = conv_norm(x, f"{name}_project_conv", f"{name}_bn2", 1)
        x = x + before if stride == 1 and x.shape == before.shape else x
    return levels


@pytest.mark.parametrize(("height", "width"), [(64, 64), (33, 50)])
def test_features_equal_the_published_network_without_folding(distance, height, width):
    published = torch.load(perceptual._packaged_weights(), weights_only=True)
    img = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for ours, theirs in zip(distance.features(img), reference_features(published, img), strict=True):
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() < 2e-4


def test_levels_halve_and_have_the_documented_widths(distance, photo):
    shapes = [tuple(level.shape[1:]) for level in distance.features(photo)]
    assert shapes == [(96, 32, 32), (144, 16, 16), (240, 8, 8), (672, 4, 4)]


def test_the_distance_is_zero_for_equal_pictures_and_symmetric(distance, photo):
    other = photo.flip(3)
    assert distance(photo, photo).item() == 0
    assert distance(photo, other).item() == pytest.approx(distance(other, photo).item())
    assert 0 < distance(photo, other).item() < 2


def test_more_damage_is_further_away(distance, photo):
    noise = torch.randn(photo.shape, generator=torch.Generator().manual_seed(0))
    values = [distance(photo, photo + s * noise).item() for s in (0.02, 0.1, 0.4)]
    assert values == sorted(values)


def test_a_blur_hurts_more_than_a_change_of_light_of_the_same_error(distance, photo):
    blurred = F.interpolate(F.avg_pool2d(photo, 4), scale_factor=4, mode="bilinear")
    lighter = photo + (blurred - photo).square().mean().sqrt()
    assert distance(blurred, photo).item() > 2 * distance(lighter, photo).item()


def test_the_gradient_is_right_and_leads_back_to_the_target(distance, photo):
    small = F.interpolate(photo, size=32, mode="area").double()
    target = small.flip(3)
    exact = PerceptualDistance(EfficientNetLite0Features().double())
    exact.features.load_state_dict(distance.features.state_dict())
    img = small.clone().requires_grad_()
    loss = exact(img, target).sum()
    (gradient,) = torch.autograd.grad(loss, img)
    direction = torch.randn(img.shape, generator=torch.Generator().manual_seed(0)).double()
    step = 1e-6
    numeric = (exact(small + step * direction, target) - exact(small - step * direction, target)).sum() / (
        2 * step
    )
    assert (gradient * direction).sum().item() == pytest.approx(numeric.item(), rel=1e-4)
    assert exact(small - 1e-3 * gradient / gradient.norm(), target).sum() < loss


def test_a_flat_picture_has_a_finite_gradient(distance):
    img = torch.zeros(1, 3, 32, 32, requires_grad=True)
    distance(img, torch.ones(1, 3, 32, 32)).sum().backward()
    assert torch.isfinite(img.grad).all()


def test_the_network_is_frozen(distance):
    assert not any(p.requires_grad for p in distance.parameters())


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (1, 3, 31, 32)])
def test_pictures_of_the_wrong_shape_are_refused(distance, shape):
    with pytest.raises(ShapeError):
        distance(torch.zeros(shape), torch.zeros(shape))


def test_pictures_of_different_sizes_are_refused(distance):
    with pytest.raises(ShapeError, match="target"):
        distance(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 64))


def test_missing_damaged_and_foreign_weights_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        load_perceptual(tmp_path / "none.pth")
    (tmp_path / "bad.pth").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="not a readable state dict"):
        load_perceptual(tmp_path / "bad.pth")
    torch.save({"a": torch.zeros(1)}, tmp_path / "foreign.pth")
    with pytest.raises(CheckpointError, match="not the weights of EfficientNet-lite0"):
        load_perceptual(tmp_path / "foreign.pth")


def test_a_missing_package_is_a_checkpoint_error(monkeypatch):
    monkeypatch.setattr(perceptual, "PACKAGE", "no_such_package_here")
    with pytest.raises(CheckpointError, match="no_such_package_here is missing"):
        load_perceptual()
