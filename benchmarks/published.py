"""Published figures that stand beside ours, as strings: they are quoted, not measured."""

# Means over the ten classes in print; Deep SAD's and ESAD's under `unseen` are over all 90 pairs of
# a normal and a labelled class. Sources: docs/method.md.
FASHION_MNIST = {
    "seen": "Kim et al. 2020: 0.986",
    "unseen": "Deep SAD 0.905, ESAD 0.956",
    "none": "GeoTrans 0.935, ESAD 0.940",
}
# Over all 90 pairs of a normal and a labelled class, with 5 % and 1 % of labelled anomalies.
ALL_PAIRS = {
    "unseen": "Deep SAD 0.905, TLSAD 0.914, ESAD 0.956",
    "unseen1": "Deep SAD 0.900, TLSAD 0.884, ESAD 0.953",
}
ELPV_SETTINGS = ("none", "one", "ten", "mono", "poly")
# As reported by Zhu et al., CVPR 2024, and, for InCTRL, by its authors; other splits than ours. In
# the order of `ELPV_SETTINGS`.
ELPV = {
    "AHL (ImageNet ResNet-18)": ["", "0.828", "0.850", "", ""],
    "DRA (ImageNet ResNet-18)": ["", "0.675", "0.845", "", ""],
    "DevNet (ImageNet ResNet-18)": ["", "", "0.846", "", ""],
    "PatchCore (ImageNet WideResNet-50)": ["0.916", "", "", "", ""],
    "InCTRL (CLIP), 8 normal images": ["0.872", "", "", "", ""],
}
