"""Label: what the paper is, takes and shows."""

from regard.catalog import Entry, Option, Paper

ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="sca",
        target="papers.sca_cnn.mechanism:SpatialChannel",
        paper=Paper(
            "SCA-CNN: Spatial and Channel-wise Attention in Convolutional Networks for Image Captioning",
            "Chen, Zhang, Xiao, Nie, Shao, Liu, Chua",
            "CVPR",
            2017,
            arxiv="1611.05594",
        ),
        domains=("channel", "spatial"),
        soft=True,
        acts_on=("features",),
        grain=("position", "channel"),
        tasks=("captioning",),
        aliases=("SCA-CNN",),
        maps={"channel": "B C 1 1", "spatial": "B 1 H W"},
        kwargs={"channels": 6, "hidden": 8},
        options=(
            Option({"state_channels": 10}, inputs=("B C H W", "B D"), sizes={"D": 10}),
            Option({"state_channels": 10, "order": "spatial-channel"}, inputs=("B C H W", "B D"), sizes={"D": 10}),
            Option({"order": "channel"}, maps={"channel": "B C 1 1"}),
            Option({"order": "spatial"}, maps={"spatial": "B 1 H W"}),
            Option({"order": "spatial-channel", "scale": False}),
            Option({"hard": "gumbel", "temperature": 0.5, "scale": False}, soft=False),
            Option({"hard": "top-k", "top_k": 2, "scale": False}),
        ),
        code="zjuchenlong/sca-cnn.cvpr17",
    ),
)
