import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from inversion.chain.decoder import FeatureRenderer
from inversion.published import PublishedInverter, check_encoder, load_contrastive, load_published
from inversion.published.config import CARS_SIZE, PublishedConfig
from inversion.published.encoders import build_encoder
from inversion.published.loading import fill_strictly
from inversion.published.model import OffsetCarrier
from stylegan2.errors import CheckpointError, ShapeError
from stylegan2.image import from_uint8
from stylegan2.layouts import recognise
from stylegan2.layouts.loading import MEAN_SAMPLES, MEAN_SEED
from stylegan2.network.config import GeneratorConfig
from stylegan2.network.folded import FoldedSynthesis
from stylegan2.network.generator import Generator
from tests.helpers import layout_writers as write
from tests.helpers import published_files as files

KINDS = ("clcae", "psp", "e4e")


@pytest.fixture(scope="module")
def generator():
    return files.toy_generator()


@pytest.fixture(scope="module")
def tensors():
    return {kind: files.filled(files.toy_shapes(kind)) for kind in KINDS}


def found_of(kind, tensors, generator):
    return recognise(write.document(files.tree(kind, tensors, generator)))


def opened(kind, tensors, generator):
    model = load_published(found_of(kind, tensors[kind], generator), generator)
    model.draw_mean(generator)
    return model


def encoder_of(kind, tensors, **settings):
    config = PublishedConfig(kind=kind, num_ws=8, channels=files.TOY, hidden=48, **settings)
    with torch.device("meta"):
        encoder = build_encoder(config)
    fill_strictly(encoder, tensors[kind], "toy")
    return encoder


@pytest.mark.parametrize(
    ("kind", "num_ws", "tensors_count", "parameters"),
    [
        ("clcae", 18, 891, 311_828_672),
        ("clcae", 16, 835, 278_778_048),
        ("psp", 18, 621, None),
        ("e4e", 18, 621, None),
    ],
)
def test_the_published_sizes_are_met_entry_by_entry(kind, num_ws, tensors_count, parameters):
    with torch.device("meta"):
        encoder = build_encoder(PublishedConfig(kind=kind, num_ws=num_ws))
    shapes = files.clcae(num_ws) if kind == "clcae" else files.psp(num_ws)
    assert {name: tuple(value.shape) for name, value in encoder.state_dict().items()} == shapes
    assert len(shapes) == tensors_count
    assert parameters in (None, sum(value.numel() for value in encoder.parameters()))


@pytest.mark.parametrize(
    ("shapes", "count", "parameters", "words"),
    [
        (files.contrastive_image(), 407, 41_374_913, "CLCAE contrastive image encoder"),
        (files.contrastive_latent(), 44, 6_834_176, "CLCAE contrastive latent encoder"),
    ],
    ids=["image", "latent"],
)
def test_the_contrastive_encoders_load_strictly(shapes, count, parameters, words):
    state = files.unfilled(shapes)
    found = recognise(write.document({"state_dict": state, "opts": {}}))
    loaded = load_contrastive(found)
    assert loaded.report == f"{count} of {count} tensors of the {words}, missing: none, left over: none"
    assert sum(value.numel() for value in loaded.network.parameters()) == parameters
    state["extra"] = state.pop("fine.norm2.bias" if "latent" in words else "encoder.latlayer2.bias")
    with pytest.raises(CheckpointError, match=r"1 missing \(\w+.*\); 1 left over \(extra\)"):
        load_contrastive(replace(found, encoder=state))


def test_contrastive_embeddings_have_length_one_and_see_their_input():
    image = files.filled(files.contrastive_image(files.TOY))
    network = load_contrastive(recognise(write.document({"state_dict": image}))).network
    img = torch.randn(2, 3, 256, 256)
    out = network(img)
    torch.testing.assert_close(out.norm(dim=1), torch.ones(2))
    assert (out[0] - out[1]).abs().max() > 1e-3
    latent = files.filled(files.contrastive_latent(64, 48))
    network = load_contrastive(recognise(write.document({"state_dict": latent}))).network
    w = torch.randn(3, 64)
    out = network(w)
    torch.testing.assert_close(out.norm(dim=1), torch.ones(3))
    moved = copy.deepcopy(network)
    moved.pos_embedding.add_(5)  # of a single token, which cannot matter
    torch.testing.assert_close(moved(w), out)


def test_a_generator_alone_holds_no_contrastive_encoder(generator):
    found = recognise(write.document({"g_ema": write.rosinality(generator)}))
    with pytest.raises(CheckpointError, match="layout 'rosinality'; expected CLCAE's contrastive weights"):
        load_contrastive(found)
    with pytest.raises(CheckpointError, match="no encoder that runs here; it holds none, expected one of"):
        load_published(found, generator)


@pytest.mark.parametrize(("num_ws", "side", "size"), [(18, 1024, "256 x 256"), (16, 512, "256 x 192")])
def test_the_full_sizes_load_and_are_reported(num_ws, side, size):
    """Without memory for the weights: every tensor is one number, spread."""
    widths = {4 * 2**i: min(512, 32768 // (4 * 2**i)) for i in range(side.bit_length() - 2)}
    with torch.device("meta"):
        decoder = Generator(GeneratorConfig(img_resolution=side, channels=widths))
    state = files.unfilled(files.clcae(num_ws))
    found = recognise(write.document(_tree_of(state, decoder)))
    small = Generator(GeneratorConfig(img_resolution=side, channels={**dict.fromkeys(widths, 4), 16: 512}))
    model = load_published(found, small)
    count, decoders = (891, 171) if num_ws == 18 else (835, 153)
    assert model.report == (
        f"CLCAE encoder, {num_ws} styles, sees {size} px; {count} of {count} encoder tensors, "
        f"{decoders} of {decoders} decoder tensors, missing: none, left over: none; "
        "w_avg: from the generator; mean image: drawn as G(w_avg)"
    )
    assert model.config.cars == (side == 512)


def _tree_of(encoder, decoder):
    theirs = {name: torch.zeros(()).expand(v.shape) for name, v in _rosinality(decoder).items()}
    kernels = {name: write.FIR * 4 for name in theirs if name.endswith("kernel")}
    state = {f"encoder.{name}": value for name, value in encoder.items()}
    return {
        "state_dict": state | {f"decoder.{name}": v for name, v in (theirs | kernels).items()},
        "opts": {},
    }


def _rosinality(generator):
    """As `layout_writers.rosinality`, at any resolution."""
    from stylegan2.layouts.rosinality import to_rosinality

    with torch.device("meta"):
        return to_rosinality(generator.state_dict(), generator.config)["g_ema"]


def test_folding_changes_no_answer(tensors):
    whole = encoder_of("clcae", tensors)
    folded = encoder_of("clcae", tensors)
    folded.fold_attention()
    assert sum(p.numel() for p in folded.parameters()) < sum(p.numel() for p in whole.parameters())
    img = torch.randn(2, 3, 256, 256)
    want, found = whole(img), folded(img)
    for name in ("w", "ws", "f"):
        torch.testing.assert_close(getattr(found, name), getattr(want, name), atol=1e-4, rtol=1e-4)


def test_what_the_attention_asks_cannot_matter(tensors):
    encoder = encoder_of("clcae", tensors)
    img = torch.randn(1, 3, 256, 256)
    before = encoder(img)
    for block in (*encoder.cross_attention, encoder.feature_cross_attention):
        weight = block.multihead_attn.in_proj_weight
        weight.data = weight.data.clone()  # the tensors belong to all tests
        weight.data[: 2 * 64] *= -3
    after = encoder(img)
    torch.testing.assert_close(after.ws, before.ws)
    torch.testing.assert_close(after.f, before.f)


def test_clcae_is_what_its_formula_says(tensors):
    encoder = encoder_of("clcae", tensors)
    img = torch.randn(1, 3, 256, 256)
    t1, t2, t3 = encoder.pyramid(img)
    assert (t1.shape[2:], t2.shape[2:], t3.shape[2:]) == ((16, 16), (32, 32), (64, 64))
    base = encoder.styles[0](t1)
    heads = encoder.styles_others
    levels = [t1] * 2 + [t2] * 4 + [t3]
    latents = [base, *(heads[j](level) for j, level in enumerate(levels))]
    found = encoder(img)
    assert torch.equal(found.w, base)
    for k, block in enumerate(encoder.cross_attention):
        o = block(base[:, None], latents[k][:, None])[:, 0]
        torch.testing.assert_close(found.ws[:, k], base + o)
    tokens = t3.permute(0, 2, 3, 1).reshape(1, 4096, 64)
    heard = encoder.feature_cross_attention(tokens, base[:, None]).reshape(1, 64, 64, 64).permute(0, 3, 1, 2)
    torch.testing.assert_close(found.f, encoder.content_layer(heard))


def test_the_rows_that_cars_lack_are_zero(tensors):
    encoder = encoder_of("clcae", tensors, in_size=CARS_SIZE)
    img = torch.randn(2, 3, *CARS_SIZE)
    seen = []
    encoder.content_layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    assert encoder(img).f.shape == (2, 64, 16, 16)
    (padded,) = seen
    assert padded.shape == (2, 64, 64, 64)
    assert not padded[:, :, :8].any()
    assert not padded[:, :, 56:].any()
    assert padded[:, :, 8:56].abs().sum(1).all()


@pytest.mark.parametrize("kind", ["psp", "e4e"])
def test_each_style_reads_its_level(kind, tensors):
    encoder = encoder_of(kind, tensors)
    img = torch.randn(2, 3, 256, 256)
    levels = encoder.pyramid(img)
    heads = [encoder.styles[k](levels[0 if k < 3 else 1 if k < 7 else 2]) for k in range(8)]
    if kind == "e4e":
        heads = [heads[0], *(heads[0] + delta for delta in heads[1:])]
    found = encoder(img)
    torch.testing.assert_close(found.ws, torch.stack(heads, 1))
    assert found.w is None
    assert found.f is None


def test_the_pyramid_adds_the_coarse_levels_into_the_fine_ones(tensors):
    encoder = encoder_of("psp", tensors)
    img = torch.randn(1, 3, 64, 64)
    x, ends = encoder.input_layer(img), {}
    for number, unit in enumerate(encoder.body):
        x = ends[number] = unit(x)
    big = F.interpolate(ends[23], scale_factor=2, mode="bilinear", align_corners=True)
    middle = big + encoder.latlayer1(ends[20])
    big = F.interpolate(middle, scale_factor=2, mode="bilinear", align_corners=True)
    wanted = (ends[23], middle, big + encoder.latlayer2(ends[6]))
    for found, want in zip(encoder.pyramid(img), wanted, strict=True):
        torch.testing.assert_close(found, want)
    assert torch.equal(encoder.coarse(img), ends[23])


@pytest.mark.parametrize("kind", KINDS)
def test_latents_are_measured_from_the_mean(kind, tensors, generator):
    model = opened(kind, tensors, generator)
    pixels = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    img = F.interpolate(from_uint8(pixels), (256, 256), mode="bilinear", align_corners=False)
    if kind == "clcae":
        mean = generator.synthesis(generator.broadcast(generator.w_avg[None])).clamp(-1, 1)
        mean = F.interpolate(mean, (256, 256), mode="bilinear", align_corners=False)
        torch.testing.assert_close(model.img_avg[None], mean, atol=1e-4, rtol=0)
        img = img - mean
    offsets = model.encoder(img)
    w, ws, *f = model(pixels)
    torch.testing.assert_close(ws, generator.w_avg + offsets.ws, atol=1e-3, rtol=1e-3)
    want = ws.mean(1) if offsets.w is None else generator.w_avg + offsets.w
    torch.testing.assert_close(w, want, atol=1e-3, rtol=1e-3)
    if kind == "clcae":
        f, latents, fine = f
        torch.testing.assert_close(f, offsets.f, atol=1e-2, rtol=1e-3)
        torch.testing.assert_close(fine, offsets.look.fine, atol=1e-2, rtol=1e-3)
        assert latents.shape == (2, 7, 64)
    else:
        assert f == []
    alone = [model(pixels[i : i + 1])[1] for i in range(2)]
    torch.testing.assert_close(ws, torch.cat(alone), atol=1e-3, rtol=1e-3)


def clcae_by_hand(encoder, img, shift):
    """CLCAE's inversion with its base moved, written down once more from the description of its code.

    `encoder` is not folded: every attention is torch's own, with one key.
    """
    coarse, middle, fine = encoder.pyramid(img)
    base = encoder.styles[0](coarse) + shift
    contexts = [base]
    for j, head in enumerate(encoder.styles_others):
        contexts.append(head(coarse if j < 2 else middle if j < 6 else fine))

    def block(attention, query, context):
        a, _ = attention.multihead_attn(query, context, context)
        t = attention.norm2(query + a)
        return attention.norm3(t + attention.linear2(torch.relu(attention.linear1(t))))

    pairs = zip(encoder.cross_attention, contexts, strict=True)
    refined = torch.stack([base + block(a, base[:, None], c[:, None])[:, 0] for a, c in pairs], 1)
    n, width, height, columns = fine.shape
    tokens = fine.flatten(2).transpose(1, 2)
    heard = block(encoder.feature_cross_attention, tokens, base[:, None])
    return refined, encoder.content_layer(heard.transpose(1, 2).reshape(n, width, height, columns))


def test_an_edit_of_clcaes_w_is_followed_as_its_own_code_does(tensors, generator):
    model = opened("clcae", tensors, generator)
    renderer = FeatureRenderer(generator, model, engine="torch")
    inverter = PublishedInverter(model, generator, features=renderer, engine="torch")
    pixels = torch.randint(0, 256, (1, 32, 32, 3), dtype=torch.uint8)
    start = inverter.invert(pixels)
    shift = torch.randn(1, 64, generator=torch.manual_seed(6))

    plain = encoder_of("clcae", tensors)
    img = model.see(from_uint8(pixels)) - model.img_avg
    ws, _ = clcae_by_hand(plain, img, torch.zeros(1, 64))
    ws_hat, f_moved = clcae_by_hand(plain, img, shift)
    ws, ws_hat = generator.w_avg + ws, generator.w_avg + ws_hat
    f_hat = f_moved + generator.synthesis.features(ws_hat, 16) - generator.synthesis.features(ws, 16)

    found = start.foundation.follow(start, shift)
    torch.testing.assert_close(start.ws, ws, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.w, start.w + shift)
    torch.testing.assert_close(found.ws, ws_hat, atol=1e-4, rtol=1e-4)
    a_hat = generator.synthesis.features(found.ws, 16)
    carried = model.carrier.carry(found.f.code, found.f.a, a_hat)
    torch.testing.assert_close(carried, f_hat, atol=2e-3, rtol=1e-3)
    assert not torch.allclose(found.ws - start.ws, shift[:, None].expand(-1, 8, -1), atol=0.05)

    # What refinement has changed stays, and nothing moves without an offset.
    refined = replace(start, ws=start.ws + 1)
    torch.testing.assert_close(start.foundation.follow(refined, shift).ws, ws_hat + 1, atol=1e-4, rtol=1e-4)
    still = start.foundation.follow(start, torch.zeros(1, 64))
    torch.testing.assert_close(still.ws, start.ws, atol=1e-5, rtol=0)
    torch.testing.assert_close(still.f.code, start.f.code, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("layout", "opts", "adds"),
    [
        ("psp", {"output_size": 32, "encoder_type": "BackboneEncoderUsingLastLayerIntoW"}, True),
        ("e4e", {"stylegan_size": 32, "encoder_type": "SingleStyleCodeEncoder"}, True),
        ("psp", {"output_size": 32, "encoder_type": "WEncoder", "start_from_latent_avg": False}, True),
        ("psp", {"output_size": 32, "encoder_type": "WEncoder", "input_nc": 6}, True),  # of its hypernetwork
        ("psp", {"output_size": 32, "start_from_latent_avg": False}, False),
    ],
    ids=["pSp", "e4e", "HyperStyle", "HyperStyle with its options", "without the mean"],
)
def test_an_encoder_of_one_style_runs(generator, layout, opts, adds):
    state = files.filled(files.single_w(files.TOY))
    tree = write.psp(generator, state, opts=opts, latent_avg=generator.w_avg[None])
    found = recognise(write.document(tree))
    assert found.layout == layout
    check_encoder(found)
    model = load_published(found, generator)
    assert model.report.startswith("single-W encoder, 8 styles, sees 256 x 256 px")
    assert model.spaces == ("w",)
    img = torch.rand(2, 3, 32, 32) * 2 - 1
    coarse = model.encoder.coarse(model.see(img)).flatten(2).mean(2)
    want = coarse @ state["linear.weight"].T / 64**0.5 + state["linear.bias"]
    want = want + generator.w_avg if adds else want
    found = model.invert(img)
    torch.testing.assert_close(found.w, want, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.ws, want[:, None].expand(-1, 8, -1), atol=1e-4, rtol=1e-4)
    inverter = PublishedInverter(model, generator, engine="torch")
    answer = inverter.invert(torch.zeros(1, 32, 32, 3, dtype=torch.uint8))
    assert (answer.has_w, answer.f, answer.foundation) == (True, None, None)


@pytest.mark.parametrize(
    "odd",
    [
        {"linear.weight": torch.ones(64, 63)},
        {"linear.extra": torch.ones(1)},
        {"output_layer_2.0.weight": torch.ones(64)},
        {"body.0.res_layer.1.weight": None},
    ],
    ids=["shape", "left over", "into W+", "missing"],
)
def test_an_encoder_that_fits_no_class_is_refused_with_a_way_out(generator, odd):
    state = {**files.filled(files.single_w(files.TOY)), **odd}
    state = {name: value for name, value in state.items() if value is not None}
    tree = write.psp(generator, state, opts={"output_size": 32}, latent_avg=generator.w_avg)
    with pytest.raises(CheckpointError, match="convert --generator-only"):
        check_encoder(recognise(write.document(tree)))


def test_the_encoders_class_decides_and_not_whose_code_trained_it(generator, tensors):
    """e4e's code trains pSp's encoder too, whose styles are no offsets from the first."""
    opts = {"stylegan_size": 32, "encoder_type": "GradualStyleEncoder"}
    tree = write.psp(generator, tensors["psp"], opts=opts, latent_avg=generator.w_avg.repeat(8, 1))
    theirs = load_published(recognise(write.document(tree)), generator)
    img = torch.rand(1, 3, 32, 32) * 2 - 1
    ours = load_published(found_of("psp", tensors["psp"], generator), generator)
    assert torch.equal(theirs.invert(img).ws, ours.invert(img).ws)


def test_settings_can_take_the_mean_away(tensors, generator):
    found = found_of("psp", tensors["psp"], generator)
    model = load_published(replace(found, opts={**found.opts, "start_from_latent_avg": False}), generator)
    img = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(model.invert(img).ws, model.encoder(model.see(img)).ws)
    assert "not added, as the file's settings say" in model.report


def test_cars_are_cut_and_shrunk(tensors, generator):
    found = replace(found_of("psp", tensors["psp"], generator), opts={"dataset_type": "cars_encode"})
    model = load_published(found, generator)
    img = torch.randn(1, 3, 512, 512)
    img[:, :, :64] = img[:, :, 448:] = 9
    seen = model.see(img)
    assert seen.shape == (1, 3, 192, 256)
    assert seen.abs().max() < 6
    torch.testing.assert_close(seen.mean((2, 3)), img[:, :, 64:448].mean((2, 3)), atol=1e-3, rtol=0)


def test_the_mean_is_the_files_or_the_generators(tensors, generator):
    other = copy.deepcopy(generator)
    other.w_avg.add_(1)
    of_file = load_published(found_of("e4e", tensors["e4e"], generator), other)
    assert torch.equal(of_file.w_avg, generator.w_avg)
    assert "w_avg: from the file" in of_file.report
    without = load_published(found_of("clcae", tensors["clcae"], generator), other)
    assert torch.equal(without.w_avg, other.w_avg)
    assert "w_avg: from the generator" in without.report
    assert (MEAN_SAMPLES, MEAN_SEED) == (10_000, 0)


def test_everything_that_does_not_fit_is_named(tensors, generator):
    state = dict(tensors["clcae"])
    state["styles_others.9.linear.bias"] = state.pop("cross_attention.7.norm1.bias")
    del state["body.23.res_layer.0.num_batches_tracked"]
    state["content_layer.convs.0.bias"] = torch.zeros(3)
    found = replace(found_of("clcae", state, generator), path="own.pt")
    with pytest.raises(CheckpointError, match="encoder of 11 styles of 64 numbers; its generator takes 8"):
        load_published(found, generator)
    state["odd"] = state.pop("styles_others.9.linear.bias")
    with pytest.raises(CheckpointError) as refusal:
        load_published(replace(found, encoder=state), generator)
    assert str(refusal.value).startswith(
        "own.pt: not a CLCAE encoder: "
        "2 missing (body.23.res_layer.0.num_batches_tracked, cross_attention.7.norm1.bias); "
        "1 left over (odd); 1 of another shape (content_layer.convs.0.bias [3], expected [64]). "
    )
    del state["content_layer.convs.0.bias"]
    many = {name: value for name, value in state.items() if not name.startswith("body.1")}
    with pytest.raises(CheckpointError, match=r"\d{3} missing \(\S+, \S+, \S+, \S+, \.\.\.\)"):
        load_published(replace(found, encoder=many), generator)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"left_over": ("decoder.odd",)}, r"1 left over \(decoder.odd\)"),
        ({"missing": ("decoder.conv1.noise.weight",)}, r"1 generator entries missing \(decoder.conv1"),
        ({"misfits": ("decoder.conv1: a",)}, "1 generator shapes"),
        ({"encoder": {"styles.0.linear.bias": torch.zeros(4)}}, "an encoder of 1 styles; expected 8 to 18"),
    ],
)
def test_the_decoder_is_checked_as_strictly(change, words, tensors, generator):
    found = replace(found_of("psp", tensors["psp"], generator), **change)
    with pytest.raises(CheckpointError, match=words):
        load_published(found, generator)


def test_other_parts_of_a_file_are_reported_and_allowed(tensors, generator):
    found = replace(found_of("e4e", tensors["e4e"], generator), left_over=("discriminator_state_dict",))
    assert "left over: discriminator_state_dict" in load_published(found, generator).report


def test_f_must_fit_the_generator(tensors):
    other = write.small_generator(w_dim=64)
    with pytest.raises(CheckpointError, match="f has 64 channels, the generator 16 at 16 x 16"):
        load_published(found_of("clcae", tensors["clcae"], other), other)


def test_an_edit_moves_f_by_what_it_moves_the_activation(generator):
    carrier, synthesis = OffsetCarrier(), FoldedSynthesis(generator.synthesis)
    ws = torch.randn(2, 8, 64)
    ws_hat = ws + torch.randn(2, 8, 64)
    f = torch.randn(2, 64, 16, 16)

    def edited(part):
        a, (a_hat, below) = synthesis.lower(ws[part], 16)[0], synthesis.lower(ws_hat[part], 16)
        return synthesis.upper(carrier.carry(f[part], a, a_hat), below, ws_hat[part], shown=a_hat)

    both = edited(slice(0, 2))
    torch.testing.assert_close(
        both, torch.cat([edited(slice(0, 1)), edited(slice(1, 2))]), atol=1e-4, rtol=1e-4
    )
    a = torch.randn_like(f)
    assert torch.equal(carrier.carry(f, a, a), f)
    with pytest.raises(ShapeError, match="a_hat"):
        carrier.carry(f, a, a[:1])


def test_colours_at_16_px_come_from_the_activation_that_f_replaces(generator):
    network, folded = generator.synthesis, FoldedSynthesis(generator.synthesis)
    ws, f = torch.randn(1, 8, 64), torch.randn(1, 64, 16, 16)
    a, below = network.lower(ws, 16)
    b16, b32 = network.b16, network.b32
    img = b16.draw(a, below, ws[:, 3:6])
    img = b32.draw(b32.activation(f, ws[:, 5:8], "const"), img, ws[:, 5:8])
    torch.testing.assert_close(network.upper(f, below, ws, shown=a), img)
    torch.testing.assert_close(folded.upper(f, below, ws, shown=a), img, atol=1e-4, rtol=1e-4)
    assert (network.upper(f, below, ws) - img).abs().max() > 0.1
    with pytest.raises(ShapeError, match="shown"):
        network.upper(f, below, ws, shown=a[:, :3])


def test_a_picture_of_another_size_is_refused(tensors):
    for kind in KINDS:
        with pytest.raises(ShapeError, match="img"):
            encoder_of(kind, tensors)(torch.zeros(1, 3, 128, 128))
