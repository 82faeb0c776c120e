seed = 0
num_workers = 2
precision = "fp32"  # --precision sets it from the command line
ema = dict(decay=0.9999)
log_interval = 50
checkpoint_interval = 1000
val = dict(images=8, panels=2)
