# What does DE add to SpA-GAN's published generator? That and the small denoiser are given, the fusion is trained.
_base_ = ["references_rice1.py"]
model = dict(reference=dict(_delete_=True, type="SpAGAN"))
reference_weights = "spa_gan_rice1"
