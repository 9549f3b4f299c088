import pytest
import torch

from inversion.transfer.checkpoint import load_transfer, save_transfer
from inversion.transfer.compose import compose, moved, with_fine_detail
from inversion.transfer.config import SIDE, WAYS, TransferConfig
from inversion.transfer.graph import TransferPixels, resized
from inversion.transfer.network import TransferNetwork, freedom
from stylegan2.errors import CheckpointError, ConfigError, ShapeError


@pytest.fixture
def network():
    """Small, and no longer at its start, where it answers 0."""
    network = TransferNetwork(TransferConfig(channels=(8, 12, 16)))
    for layer in (network.coarse_flow, network.fine_flow, network.outlet):
        torch.nn.init.normal_(layer.weight, std=0.2)
    return network.eval()


def pictures(count=1, side=SIDE):
    return torch.rand(count, 3, side, side) * 2 - 1, torch.rand(count, 3 * WAYS, side, side) * 2 - 1


def test_without_an_edit_the_photo_stays(network):
    photo, drawn = pictures(2)
    flow, masks, shares = network(photo, drawn, drawn)
    assert (flow == 0).all()
    assert (shares == 1).all()
    added, kept = compose(drawn, drawn, flow, masks, shares)
    assert added.abs().max() < 1e-5
    torch.testing.assert_close(kept, torch.ones_like(kept))


def test_masks_and_shares_are_shares(network):
    photo, drawn = pictures(2)
    edited = (drawn + 0.3 * torch.randn_like(drawn)).clamp(-1, 1)
    flow, masks, shares = network(photo, drawn, edited)
    assert flow.shape == (2, 2, SIDE, SIDE)
    assert flow.abs().max() <= network.config.most_flow
    torch.testing.assert_close(masks.sum(1), torch.ones(2, SIDE, SIDE))
    assert masks.min() >= 0
    assert shares.min() >= 0
    assert shares.max() <= 1


@torch.no_grad()
def test_a_small_edit_changes_little(network):
    photo, drawn = pictures()
    there = torch.randn_like(drawn)
    sizes = []
    for strength in (0.0, 1e-3, 1e-2):
        edited = drawn + strength * there
        flow, masks, shares = network(photo, drawn, edited)
        added, kept = compose(drawn, edited, flow, masks, shares)
        sizes.append(float((added + kept * moved(photo, flow) - photo).abs().mean()))
    assert sizes[0] < 1e-5
    assert sizes[0] < sizes[1] < sizes[2] < 1


def test_freedom_grows_with_the_change_and_is_smooth():
    drawn = torch.zeros(1, 3 * WAYS, 32, 32)
    edited = drawn.clone()
    edited[..., 16:] = 0.5
    free = freedom(drawn, edited)[0, 0]
    assert free[16, 0] == 0
    assert free[16, 31] > 0.95
    assert (free[16].diff() >= -1e-6).all()
    assert free[16].diff().max() < 0.35


def test_moved_is_a_shift_where_the_flow_is_one():
    img = torch.rand(1, 3, 16, 16)
    flow = torch.zeros(1, 2, 16, 16)
    assert torch.allclose(moved(img, flow), img, atol=1e-5)
    flow[:, 0], flow[:, 1] = 3, -2  # from three to the right, and two above
    out = moved(img, flow)
    torch.testing.assert_close(out[..., 2:, :-3], img[..., :-2, 3:], atol=1e-5, rtol=0)
    assert torch.allclose(out[..., 0, -1], img[..., 0, -1], atol=1e-5)  # beyond the border: the border


def test_compose_is_its_formula():
    photo, drawn = pictures(2, 16)
    edited = torch.rand_like(drawn) * 2 - 1
    flow = torch.randn(2, 2, 16, 16)
    masks, shares = torch.rand(2, 3, 16, 16).softmax(1), torch.rand(2, WAYS, 16, 16)
    added, kept = compose(drawn, edited, flow, masks, shares)
    there = moved(photo, flow)
    wanted = masks[:, :1] * there
    for way in range(WAYS):
        d, e = drawn[:, 3 * way : 3 * way + 3], edited[:, 3 * way : 3 * way + 3]
        missing = moved(photo - d, flow)
        wanted = wanted + masks[:, 1 + way, None] * (e + shares[:, way, None] * missing)
    torch.testing.assert_close(added + kept * there, wanted, atol=1e-5, rtol=1e-5)


def test_fine_detail_changes_nothing_at_the_models_own_resolution():
    added, carried = torch.randn(2, 3, 16, 16), torch.randn(2, 3, 16, 16)
    kept = torch.rand(2, 1, 16, 16)
    more, fine = with_fine_detail(added, kept, carried)
    torch.testing.assert_close(more + fine * carried, added + kept * carried, atol=1e-5, rtol=1e-5)


def test_fine_detail_is_whole_where_the_photo_leads_and_gone_where_it_is_replaced():
    kept = torch.tensor([0.0, 0.05, 0.35, 0.6, 0.9, 1.0])[None, None, :, None]
    zero, detail = torch.zeros(1, 3, 6, 1), torch.randn(1, 3, 6, 1)
    added, fine = with_fine_detail(zero, kept, zero)
    shown = (added + fine * detail)[0, 0, :, 0] / detail[
        0, 0, :, 0
    ]  # S is 0: the photo is nothing but detail
    torch.testing.assert_close(shown, torch.tensor([0.0, 0.05, 0.5, 1.0, 1.0, 1.0]))


def test_the_gradient_reaches_flow_masks_and_shares(network):
    photo, drawn = pictures()
    edited = torch.rand_like(drawn) * 2 - 1
    flow, masks, shares = network(photo, drawn, edited)
    added, kept = compose(drawn, edited, flow, masks, shares)
    (added + kept * moved(photo, flow)).square().mean().backward()
    for layer in (network.coarse_flow, network.fine_flow, network.outlet, network.inlet[0]):
        assert layer.weight.grad.abs().sum() > 0


def test_a_given_flow_is_used_and_none_is_learned():
    network = TransferNetwork(TransferConfig(channels=(8, 8), learned_flow=False)).eval()
    photo, drawn = pictures()
    given = torch.randn(1, 2, SIDE, SIDE)
    assert network(photo, drawn, drawn, given)[0] is given


@pytest.mark.parametrize("side", [32, 128, 256])
def test_models_of_any_resolution_are_composed_at_their_own(network, side):
    seen = torch.randint(0, 256, (1, SIDE, SIDE, 3), dtype=torch.uint8)
    drawn = torch.randint(0, 256, (1, WAYS, side, side, 3), dtype=torch.uint8)
    flow, added, kept = TransferPixels(network)(seen, drawn, drawn)
    assert flow.shape == (1, 2, SIDE, SIDE)
    assert added.shape == (1, 3, side, side)
    assert kept.shape == (1, 1, side, side)
    assert flow.abs().max() == 0
    assert added.abs().max() < 1e-5
    assert (kept - 1).abs().max() < 1e-5
    assert resized(torch.ones(1, 2, side, side)).shape == (1, 2, SIDE, SIDE)


def test_pictures_of_another_shape_are_refused(network):
    photo, drawn = pictures()
    with pytest.raises(ShapeError, match="photo"):
        network(photo[..., :64], drawn, drawn)
    with pytest.raises(ShapeError, match="edited"):
        network(photo, drawn, drawn[:, :3])


def test_the_file_holds_the_network(network, tmp_path):
    save_transfer(network, tmp_path / "t.safetensors")
    again = load_transfer(tmp_path / "t.safetensors")
    assert again.config == network.config
    photo, drawn = pictures()
    edited = torch.rand_like(drawn) * 2 - 1
    for one, two in zip(network(photo, drawn, edited), again(photo, drawn, edited), strict=True):
        torch.testing.assert_close(one, two, atol=0.05, rtol=0.05)  # half precision


def test_other_files_are_refused(tmp_path):
    file = tmp_path / "t.safetensors"
    with pytest.raises(CheckpointError, match="no such file"):
        load_transfer(file)
    file.write_bytes(b"no tensors")
    with pytest.raises(CheckpointError):
        load_transfer(file)
    network = TransferNetwork(TransferConfig(channels=(8, 8)))
    network.outlet.bias.data[0] = float("nan")
    save_transfer(network, file)
    with pytest.raises(CheckpointError, match=r"outlet\.bias"):
        load_transfer(file)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": (8,)}, "channels: 1 levels"),
        ({"channels": (8, 4)}, "at least 8 each"),
        ({"most_flow": 0.0}, "most_flow: 0.0"),
        ({"most_flow": 500.0}, "most_flow: 500.0"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ConfigError, match=message):
        TransferConfig(**settings)
