"""Work for a second process: few imports, since a spawned process starts from nothing."""

import torch
import torch.distributed as dist

from train.losses.terms import info_nce


def contrastive_pairs():
    """Embeddings of four pairs and a scale, the same in every process."""
    rng = torch.Generator().manual_seed(3)
    image_emb, latent_emb = torch.nn.functional.normalize(torch.randn(2, 4, 6, generator=rng), dim=2)
    return image_emb.requires_grad_(), latent_emb.requires_grad_(), torch.tensor(5.0, requires_grad=True)


def gathered_loss(rank, world, folder):
    """Save the loss of this process's share of the pairs, and its gradients."""
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", world)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    image_emb, latent_emb, scale = contrastive_pairs()
    share = slice(rank * 4 // world, (rank + 1) * 4 // world)
    loss = info_nce(image_emb[share], latent_emb[share], scale, 0.3)
    loss.backward()
    torch.save([loss.detach(), image_emb.grad, latent_emb.grad, scale.grad], f"{folder}/{rank}.pt")
    dist.destroy_process_group()
