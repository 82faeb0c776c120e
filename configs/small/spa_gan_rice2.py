_base_ = ["references_rice1.py"]
datamodule = dict(root="data/rice2", version=2)
model = dict(reference=dict(_delete_=True, type="SpAGAN"))
reference_weights = "spa_gan_rice2"
denoiser_weights = "work_dirs/small_rice2/model.safetensors"  # of small/de_rice2.py
