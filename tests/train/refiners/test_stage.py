import copy
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from inversion.directions.bank import DirectionBank
from inversion.directions.components import principal_components
from inversion.directions.linear import apply_direction
from inversion.networks.checkpoint import load_encoder, load_refiners, save_encoder
from inversion.networks.config import EncoderConfig
from inversion.networks.w_encoder import WEncoder
from stylegan2.errors import CheckpointError, ConfigError
from stylegan2.settings import settings_from_dict
from tests.helpers.pictures import write_shard
from tests.helpers.plain_chain import PlainChain
from tests.helpers.training import (
    TINY_REFINERS,
    assert_equal,
    interrupting,
    run_stage,
    tiny_generator,
    write_bundle,
    write_contrastive_pair,
)
from train.assemble import build_refinement, frame_network, inherit_refiners
from train.core.checkpoint import training_facts
from train.data.pairs import Pairs
from train.errors import DivergedError
from train.refiners.config import RefinementConfig
from train.refiners.edited_faces import FaceEditor
from train.refiners.edits import COMPONENTS, STRONGEST, EditSampler, component_rng

LOOK = {"second_look": True, "look_resolution": 16, "look_channels": [8, 8, 8, 8, 16], "look_width": 12}
SIZES = {**TINY_REFINERS, **LOOK}
LOSS = {
    "ws": {"l2": 4.0, "pooled_l2": 2.0},
    "f": {"l2": 6.0},
    "edit": {"l2": 4.0},
    "latent": 0.1,
}

NOTHING = {"latent": 0.0, "spread": 0.0, "offset": 0.0}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A bundle with generator and encoder, and a shard of pictures that the generator can make."""
    folder = tmp_path_factory.mktemp("bundle")
    generator = tiny_generator()
    encoder = WEncoder(
        EncoderConfig(in_resolution=32, w_dim=16, channels=(8, 8, 8, 16, 16), depths=(1, 1, 1, 1), hidden=32)
    )
    frame_network(encoder, generator, (0.7, 1.0), 0)
    save_encoder(encoder, folder / "encoder.safetensors")
    write_bundle(folder, generator=generator, encoder="encoder.safetensors")
    pixels = ((generator(torch.randn(40, 16)).clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
    write_shard(folder / "faces.tar", pixels.numpy())
    return folder


@pytest.fixture
def settings(model, tmp_path):
    phase = {"name": "refine", "max_steps": 6, "real_batch": 4, "pair_batch": 4, "lr": 3e-3}
    return {
        "bundle": str(model),
        "run": {"folder": str(tmp_path / "run"), "validate_every": 4, "checkpoint_every": 100},
        "data": {"images": str(model / "faces.tar"), "validation_fraction": 0.2, "shuffle_buffer": 7},
        "pairs": {"pool": 16, "block": 8, "refresh": 0.5},
        "refiners": SIZES,
        "phases": [{**phase, "warmup_steps": 0, "f_ramp": 0.3, "loss": LOSS}],
        "hardware": {"device": "cpu", "precision": "float32"},
    }


def configured(settings, **changes):
    return settings_from_dict({**settings, **changes}, RefinementConfig)


run = partial(run_stage, build_refinement)


def test_the_faces_are_counted_at_the_start(settings, model):
    lines = []
    build_refinement(configured(settings), report=lines.append)
    assert [line.partition(": ")[0] for line in lines] == [str(model / "faces.tar")]
    assert lines[0].endswith(" pictures in 1 file")


def in_folder(settings, name, tmp_path):
    return configured(settings, run={**settings["run"], "folder": str(tmp_path / name)})


def test_a_few_steps_improve_every_picture(settings):
    phase = {**settings["phases"][0], "max_steps": 60, "lr": 6e-3, "real_batch": 8, "pair_batch": 8}
    stage = build_refinement(configured(settings, phases=[phase]))
    stage.enter_phase(0)
    stage.prepare(lambda done, total: None)
    terms = [stage.step(step, step / 60) for step in range(60)]
    names = {"ws/l2", "ws/pooled_l2", "f/l2", "edit/l2", "spread", "latent", "offset", "total"}
    assert set(terms[0]) == {*names, "gradient_norm"}
    for name in ("ws/l2", "f/l2", "edit/l2"):
        values = [t[name].item() for t in terms]
        assert np.mean(values[-8:]) < 0.9 * np.mean(values[:4]), name
    measures = stage.validate()
    assert set(measures) == {f"psnr_{edit}{space}" for edit in ("", "edit_") for space in ("w", "ws", "f")}
    assert measures["psnr_f"] > measures["psnr_ws"]


@pytest.mark.parametrize("attention", ["tokens", "reference", "none"])
def test_every_variant_of_attention_learns(settings, attention):
    phase = {**settings["phases"][0], "lr": 6e-3, "real_batch": 8, "pair_batch": 2, "f_ramp": 0.0}
    refiners = {**SIZES, "attention": attention}
    stage = build_refinement(configured(settings, refiners=refiners, phases=[phase]))
    assert stage.networks.refiners.config.attention == attention
    stage.enter_phase(0)
    stage.prepare(lambda done, total: None)
    values = [stage.step(step, step / 40)["f/l2"].item() for step in range(40)]
    assert np.mean(values[-6:]) < 0.9 * np.mean(values[:4])


def test_f_never_moves_ws(settings):
    """ws answers for itself: without its own terms, it gets no gradient from f."""
    loss = {"ws": {}, "f": {"l2": 1.0}, "edit": {"l2": 1.0}, "latent": 0.0, "spread": 0.0}
    stage = build_refinement(configured(settings, phases=[{**settings["phases"][0], "loss": loss}]))
    stage.enter_phase(0)
    stage.prepare(lambda done, total: None)
    phase = stage.phases[0]
    stage.losses(phase, 1.0, torch.Generator().manual_seed(0))["total"].backward()
    refiners = stage.networks.refiners
    assert all(p.grad is None or not p.grad.any() for p in refiners.wplus.parameters())
    assert refiners.carrier.offset.weight.grad.any()


@pytest.fixture
def joint(settings, model, tmp_path):
    """Settings under which the encoder learns too, from G(w) and from an untrained contrastive pair."""
    phase = {**settings["phases"][0], "loss": {**LOSS, "w": {"l2": 2.0}, "align": 0.1}, "encoder_rate": 0.5}
    return {**settings, "phases": [phase], "contrastive": str(write_contrastive_pair(tmp_path))}


def test_the_encoder_learns_with_the_refiners_from_all_three_spaces(joint):
    phase = {**joint["phases"][0], "max_steps": 40, "lr": 6e-3, "real_batch": 8, "pair_batch": 8}
    stage = build_refinement(configured(joint, phases=[phase]))
    stage.enter_phase(0)
    stage.prepare(lambda done, total: None)
    before = copy.deepcopy(stage.networks.encoder.state_dict())
    terms = [stage.step(step, step / 40) for step in range(40)]
    assert {"w/l2", "ws/l2", "f/l2", "align", "encoder_gradient_norm"} <= set(terms[0])
    for name in ("w/l2", "ws/l2", "f/l2"):
        values = [t[name].item() for t in terms]
        assert np.mean(values[-6:]) < 0.95 * np.mean(values[:4]), name
    after = stage.networks.encoder.state_dict()
    assert not torch.equal(before["out.weight"], after["out.weight"])
    assert not torch.equal(before["backbone.stem.weight"], after["backbone.stem.weight"])
    assert torch.equal(before["norm.running_mean"], after["norm.running_mean"])


def test_a_phase_without_encoder_rate_leaves_the_encoder_alone(joint):
    first = {**joint["phases"][0], "name": "alone", "encoder_rate": 0.0, "loss": LOSS}
    stage = build_refinement(configured(joint, phases=[first, {**joint["phases"][0], "f_ramp": 0.0}]))
    stage.enter_phase(0)
    stage.prepare(lambda done, total: None)
    before = copy.deepcopy(stage.networks.encoder.state_dict())
    assert "align" not in stage.step(0, 0.5)
    assert_equal(before, stage.networks.encoder.state_dict())


def test_a_joint_run_resumes_bit_for_bit_and_exports_both(joint, tmp_path):
    joint = {**joint, "phases": [{**joint["phases"][0], "accumulate": 2}]}
    whole, _ = run(in_folder(joint, "whole", tmp_path))
    config = in_folder(joint, "broken", tmp_path)
    run(config, interrupting(build_refinement(config), 3))
    resumed, _ = run(config, resume=True)
    assert_equal(resumed.state_dict(), whole.state_dict())
    encoder = load_encoder(tmp_path / "broken" / "encoder.safetensors")
    average = resumed.encoder_optimiser.average
    assert torch.equal(encoder.out.weight, average.out.weight.half().float())


@pytest.mark.parametrize(
    ("loss", "learning", "absent"),
    [
        ({"ws": LOSS["ws"], "f": {}, "edit": {}, "offset": 0.0}, {"look", "wplus"}, "f/l2"),
        ({**LOSS, "ws": {}, "latent": 0.0, "spread": 0.0}, {"feature", "carrier"}, "ws/l2"),
    ],
)
def test_what_no_term_weighs_is_left_as_it_is(settings, loss, learning, absent):
    phase = {**settings["phases"][0], "f_ramp": 0.0, "loss": loss}
    stage = build_refinement(configured(settings, phases=[phase]))
    stage.enter_phase(0)
    stage.prepare(lambda done, total: None)
    refiners = stage.networks.refiners
    before = copy.deepcopy(refiners.state_dict())
    for step in range(2):
        assert absent not in stage.step(step, 0.5)
    changed = {name.split(".")[0] for name, p in refiners.state_dict().items() if not p.equal(before[name])}
    assert changed == learning


def test_a_run_goes_on_from_refiners_that_exist(settings, tmp_path):
    run(configured(settings))
    file = tmp_path / "run" / "refiners.safetensors"
    stage = build_refinement(configured(settings, start_from=str(file)))
    assert_equal(stage.networks.refiners.state_dict(), load_refiners(file).state_dict())
    assert all(p.requires_grad for p in stage.networks.refiners.parameters())
    with pytest.raises(ConfigError, match="must be RefinerConfig"):
        build_refinement(configured(settings, start_from=str(file), refiners={**SIZES, "code": 16}))


def test_kept_detail_teaches_f_but_not_when_to_let_go_of_it(settings):
    """Shut gates lose no detail: only pairs, which know the truth, may move them."""
    loss = {"ws": {}, "f": {}, "edit": {}, "kept_detail": 1.0, **NOTHING}
    phase = {**settings["phases"][0], "f_ramp": 0.0, "loss": loss}
    stage = build_refinement(configured(settings, phases=[phase]))
    carrier = stage.networks.refiners.carrier
    torch.nn.init.normal_(carrier.offset.weight)
    stage.enter_phase(0)
    stage.prepare(lambda done, total: None)
    terms = stage.losses(stage.phases[0], 1.0, torch.Generator().manual_seed(0))
    assert set(terms) == {"offset", "kept_detail", "total"}
    assert 0 < terms["kept_detail"] < 1
    terms["total"].backward()
    assert all(p.grad is None or not p.grad.any() for p in carrier.gates.parameters())
    assert carrier.mix.weight.grad.any()
    assert stage.networks.refiners.feature.head.weight.grad.any()


def test_the_detail_of_edits_is_learnt(settings):
    loss = {"ws": {}, "f": {}, "edit": {"detail": 1.0}, **NOTHING}
    sizes = {"lr": 3e-3, "real_batch": 8, "pair_batch": 8, "f_ramp": 0.0}
    phase = {**settings["phases"][0], **sizes, "loss": loss}
    pairs = {**settings["pairs"], "refresh": 0.0}
    stage = build_refinement(configured(settings, phases=[phase], pairs=pairs))
    torch.nn.init.normal_(stage.networks.refiners.carrier.offset.weight, std=0.3)  # draws details of its own
    stage.enter_phase(0)
    stage.prepare(lambda done, total: None)

    def lacking():  # on the same pairs under the same edits
        rngs = (torch.Generator().manual_seed(seed) for seed in range(4))
        return np.mean([stage.losses(stage.phases[0], 1.0, rng)["edit/detail"].item() for rng in rngs])

    before = lacking()
    for step in range(40):
        stage.step(step, step / 40)
    assert lacking() < 0.9 * before


@pytest.mark.parametrize("feature", ["offset", "replacement"])
def test_the_forms_of_f_to_compare_with_learn_too(settings, feature):
    loss = {**LOSS, "kept_detail": 0.5}
    phase = {**settings["phases"][0], "lr": 6e-3, "f_ramp": 0.0, "loss": loss}
    stage = build_refinement(configured(settings, refiners={**SIZES, "feature": feature}, phases=[phase]))
    stage.enter_phase(0)
    stage.prepare(lambda done, total: None)
    values = [stage.step(step, step / 40)["f/l2"].item() for step in range(40)]
    assert np.mean(values[-6:]) < 0.9 * np.mean(values[:4])


def test_edited_pairs_can_be_left_out(settings):
    phase = {**settings["phases"][0], "pair_batch": 0}
    stage = build_refinement(configured(settings, phases=[phase]))
    stage.enter_phase(0)
    assert not {"edit/l2", "latent"} & set(stage.step(0, 0.0))


def test_the_offset_is_ramped_up_once(settings):
    stage = build_refinement(configured(settings))
    phase, (code, a) = stage.phases[0], (torch.randn(1, 8, 16, 16), torch.randn(1, 8, 16, 16))
    stage.networks.refiners.carrier.offset.bias.data += 1
    for fraction, share in ((0.0, 0.0), (0.15, 0.5), (0.3, 1.0), (0.9, 1.0)):
        f, offset = stage.terms.entered(code, a, phase, fraction)
        torch.testing.assert_close(f, a + share * offset)


def test_f_enters_once_a_run(settings):
    first = settings["phases"][0]
    with pytest.raises(ConfigError, match="f_ramp: set in the phases refine, again; f enters once a run"):
        configured(settings, phases=[first, {**first, "name": "again"}])
    configured(settings, phases=[first, {**first, "name": "again", "f_ramp": 0.0}])


@pytest.mark.parametrize("attention", ["tokens", "reference"])  # the reference has dropout
def test_a_stopped_and_resumed_run_equals_an_unbroken_one_bit_for_bit(settings, tmp_path, attention):
    settings = {**settings, "refiners": {**SIZES, "attention": attention}}
    whole, result = run(in_folder(settings, "whole", tmp_path))
    assert result.position.total == 6
    config = in_folder(settings, "broken", tmp_path)
    _, stopped = run(config, interrupting(build_refinement(config), 3))
    assert stopped.position.total == 3
    resumed, _ = run(config, resume=True)
    assert_equal(resumed.state_dict(), whole.state_dict())


def test_what_is_exported_can_be_loaded(settings, tmp_path):
    stage, _ = run(configured(settings))
    file = tmp_path / "run" / "refiners.safetensors"
    refiners, average = load_refiners(file), stage.optimiser.average
    assert refiners.config == average.config
    assert torch.equal(refiners.carrier.mix.weight, average.carrier.mix.weight.half().float())
    assert torch.equal(refiners.wplus.w_avg, average.wplus.w_avg)  # the frame of reference stays exact
    assert training_facts(file)["losses"] == ["l2", "latent", "offset", "pooled_l2", "spread"]
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="refiners"):
        load_refiners(file)


def test_a_grid_has_three_rows(settings):
    assert build_refinement(configured(settings)).grid().shape[0] == 3 * 32


def test_what_was_tuned_stays_where_training_goes_on_and_nothing_else_is_chosen(settings, tmp_path):
    trained = configured(settings, refiners={**SIZES, "readiness": 4.0, "restraint": 0.5})
    run(trained)
    file = tmp_path / "run" / "refiners.safetensors"
    assert (load_refiners(file).config.readiness, load_refiners(file).config.restraint) == (4.0, 0.5)
    on = build_refinement(configured(settings, start_from=str(file), refiners={**SIZES, "restraint": 0.1}))
    assert (on.networks.refiners.config.readiness, on.networks.refiners.config.restraint) == (4.0, 0.1)
    assert on.networks.refiners.carrier.config.readiness == 4.0


def test_w_can_only_be_weighed_where_something_of_it_learns(joint):
    phase = {**joint["phases"][0], "encoder_rate": 0.0}
    configured(joint, phases=[phase])  # the second look learns
    with pytest.raises(ConfigError, match="w or align is weighed, but neither encoder nor second look learn"):
        configured(joint, phases=[phase], refiners={**SIZES, "second_look": False})


def test_a_second_look_is_added_to_trained_refiners(settings, tmp_path):
    plain = configured(settings, refiners={**SIZES, "second_look": False})
    run(plain)
    file = tmp_path / "run" / "refiners.safetensors"
    trained = load_refiners(file)
    assert trained.look is None
    stage = build_refinement(configured(settings, start_from=str(file)))
    refiners = stage.networks.refiners.eval()
    assert refiners.look is not None
    encoder, synthesis = stage.networks.encoder, stage.networks.generator.synthesis
    img = torch.rand(2, 3, 32, 32) * 2 - 1
    before = PlainChain(synthesis=synthesis, encoder=encoder, refiners=trained).invert(img)
    after = PlainChain(synthesis=synthesis, encoder=encoder, refiners=refiners).invert(img)
    torch.testing.assert_close(after.w, before.w)
    with pytest.raises(ConfigError, match="must be RefinerConfig"):
        inherit_refiners(refiners, trained.config, file)


def test_a_weighed_alignment_needs_a_contrastive_pair(joint):
    with pytest.raises(ConfigError, match=r"contrastive: null, and .* has none, but a phase weighs align"):
        build_refinement(configured(joint, contrastive=None))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": {"images": None}}, "data.images: null, but this stage needs real faces"),
        (
            {"refiners": {**SIZES, "attention": "keys"}},
            r"refiners.attention: 'keys'; must be one of \['tokens', 'reference', 'none'\]",
        ),
        ({"refiners": {**SIZES, "f_resolution": 24}}, r"f_resolution: 24; must be one of \[4, 8, 16, 32\]"),
        ({"phases": []}, "phases: empty"),
        ({"identity_share": 0.0}, "identity_share: 0.0; must be above 0"),
    ],
)
def test_impossible_settings_are_refused(settings, change, message):
    with pytest.raises(ConfigError, match=message):
        build_refinement(configured(settings, **change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"f_ramp": 2.0}, r"f_ramp: 2.0; must be in \[0, 1\]"),
        ({"real_batch": 0}, "real_batch: 0; must be at least 1"),
        ({"loss": {**LOSS, "f": {"identity": 1.0}}}, "identity_weights: null, but a phase weighs identity"),
        (
            {"loss": {"ws": {}, "f": {}, "edit": {}, "latent": 0.0, "spread": 0.0, "offset": 0.0}},
            "nothing of ws",
        ),
        ({"foundation_share": 1.5}, "foundation_share: 1.5; must be above 0 and at most 1"),
        ({"encoder_rate": -0.1}, "encoder_rate: -0.1; must be at least 0"),
        (
            {"loss": {**LOSS, "kept_detail": 0.1}, "pair_batch": 0},
            "pair_batch: 0, but kept_detail is weighed",
        ),
        ({"loss": {**LOSS, "f": {"l2": -1.0}}}, "l2: -1.0; must be at least 0"),
    ],
)
def test_impossible_phases_are_refused(settings, change, message):
    with pytest.raises(ConfigError, match=message):
        configured(settings, phases=[{**settings["phases"][0], **change}])


def test_principal_components_are_those_of_w():
    generator = tiny_generator()
    found = principal_components(generator, 4, component_rng())
    torch.testing.assert_close(found.directions @ found.directions.T, torch.eye(4), atol=1e-5, rtol=0)
    w = generator.mapping(torch.randn(20000, 16))
    torch.testing.assert_close((w @ found.directions.T).std(0), found.sigma, rtol=0.05, atol=0)
    total = torch.linalg.eigvalsh(torch.cov(w.T)).flip(0)[:4].sqrt()
    torch.testing.assert_close(found.sigma, total, rtol=0.05, atol=0)


@pytest.mark.parametrize("own", [False, True])
def test_random_edits_are_a_few_standard_deviations_long(own, tiny_directions):
    generator = tiny_generator()
    unit = torch.nn.functional.normalize(torch.ones(16), dim=0)
    bank = DirectionBank({"own": replace(next(iter(tiny_directions.values())), direction=unit, sigma=0.5)})
    sampler = EditSampler(generator, bank if own else None)
    edits = sampler.sample(400, torch.Generator().manual_seed(1))
    ws = torch.randn(400, generator.num_ws, 16)
    moved = edits.apply(ws) - ws
    again = sampler.sample(400, torch.Generator().manual_seed(1))
    assert torch.equal(moved, again.apply(ws) - ws)
    torch.testing.assert_close(moved, moved[:, :1].expand_as(moved))  # every layer
    d, named = moved[:, 0], edits.named
    assert 0.4 < named.float().mean() < 0.6 if own else not named.any()
    every = principal_components(generator, 16, component_rng())
    along = d / d.norm(dim=1, keepdim=True) @ every.directions[:COMPONENTS].T
    assert (along.abs().max(1).values > 0.999)[~named].all()
    spread = ((d @ every.directions.T) / every.sigma).norm(dim=1)[~named]
    assert 0.8 < spread.mean() < 1.7
    assert spread.max() <= STRONGEST + 1e-3
    if own:
        strengths = d[named] @ unit / 0.5
        torch.testing.assert_close(d[named], 0.5 * strengths[:, None] * unit, atol=1e-5, rtol=1e-5)
        assert 2 < strengths.abs().max() <= STRONGEST + 1e-3


@pytest.mark.parametrize("rule", ["layers", "a row a layer", "absolute", "bent, in years"])
def test_random_edits_follow_the_rules_of_their_direction(rule, tiny_directions):
    generator, n = tiny_generator(), torch.nn.functional.normalize(torch.ones(16), dim=0)
    direction = replace(tiny_directions["smile"], direction=n, layers=(1, 3), range=(-3.0, 3.0))
    if rule == "a row a layer":
        rows = torch.randn(generator.num_ws, 16)
        direction = replace(direction, direction=rows / rows.norm(dim=1).max())
    if rule == "absolute":
        direction = replace(direction, mean=torch.randn(16), sigma=1.7)
    if rule == "bent, in years":
        bend = 0.1 * torch.randn(generator.num_ws, 16)
        direction = replace(direction, bend=bend, unit="years", unit_size=10.0, range=(-30.0, 30.0))
    edits = EditSampler(generator, DirectionBank({"own": direction})).sample(
        40, torch.Generator().manual_seed(2)
    )
    ws = torch.randn(40, generator.num_ws, 16)
    moved, checked = edits.apply(ws), 0
    for i in range(40):
        if edits.named[i]:
            one = edits.rows(slice(i, i + 1))
            strength = edits.strength[i].item() * direction.unit_size
            true = apply_direction(ws[i : i + 1], direction, strength)
            torch.testing.assert_close(one.apply(ws[i : i + 1]), true, atol=1e-4, rtol=1e-5)
            torch.testing.assert_close(moved[i : i + 1], true, atol=1e-4, rtol=1e-5)
            checked += 1
    assert checked > 10


def test_real_faces_and_pairs_see_the_named_edits_alike(tiny_directions):
    """Every row draws its own kind of edit: no group of a batch is given one kind alone."""
    generator, n = tiny_generator(), torch.nn.functional.normalize(torch.ones(16), dim=0)
    direction = replace(tiny_directions["smile"], direction=n, layers=(0, generator.num_ws))
    sampler = EditSampler(generator, DirectionBank({"own": direction}))
    editor = FaceEditor(
        sampler=sampler,
        lower=lambda ws: (ws.clone(), ws.clone()),
        upper=lambda a, below, ws: ws,
        draw=lambda ws: ws,
        broadcast=generator.broadcast,
    )
    pairs = Pairs(torch.zeros(6, 16), torch.zeros(6, 3, 1, 1))
    ws = torch.zeros(12, generator.num_ws, 16)
    named = []
    for draw in range(200):
        edited = editor.edit(ws, ws[:6], pairs, torch.Generator().manual_seed(draw))
        moved = edited.ws_hat[:, 0]
        along = (moved @ direction.direction).abs() / moved.norm(dim=1)
        named.append(along > 0.9999)
        torch.testing.assert_close(edited.target, edited.ws_hat[6:])
    named = torch.stack(named).float()
    assert 0.45 < named[:, :6].mean() < 0.55
    assert 0.45 < named[:, 6:].mean() < 0.55


def test_a_loss_that_is_no_number_ends_the_run_and_spares_the_checkpoint(settings, tmp_path):
    settings = {**settings, "run": {**settings["run"], "log_every": 1, "checkpoint_every": 1}}
    config = configured(settings)
    stage = build_refinement(config)
    step = stage.step

    def lost(number, fraction):
        terms = step(number, fraction)
        return {**terms, "f/l2": terms["f/l2"] * float("nan")} if number == 2 else terms

    stage.step = lost
    with pytest.raises(DivergedError, match=r"^loss/f/l2: not finite by step 3 of \w+; --resume goes on"):
        run(config, stage)
    resumed, result = run(config, resume=True)
    assert result.position.total == 6
    assert all(torch.isfinite(value).all() for value in resumed.networks.refiners.state_dict().values())
