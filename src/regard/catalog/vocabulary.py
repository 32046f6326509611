"""The words that a label may use, one tuple for each of its axes."""

DOMAINS = (
    "channel",
    "spatial",
    "self",
    "cross",
    "category",
    "temporal",
    "frequency",
    "global",
    "second_order",
    "scale",
    "branch",
    "sequence",
)
MIXED = "mixed"  # channel and spatial together
# The axes by which the surveys sort attention.
ACTS_ON = ("image", "features")
GRAINS = ("item", "position", "channel", "value")
KINDS = ("weights", "focus")
DRIVEN_BY = ("bottom-up", "task")
REACHES = ("point to point", "point to region")
TASKS = (
    "classification",
    "fine-grained classification",
    "video classification",
    "detection",
    "segmentation",
    "medical imaging",
    "saliency",
    "captioning",
    "visual question answering",
    "translation",
    "re-identification",
    "diagnosis prediction",
    "transfer",
)
PARITIES = ("exact", "transcribed")
# The laws of `regard.laws`, which imports torch; `regard check --law` and the exemptions of a label name them.
LAWS = (
    "shapes",
    "finite",
    "leaves_inputs_alone",
    "batch_independent",
    "deterministic",
    "changes_no_parameter",
    "watched_equals_unwatched",
    "shows_declared_maps",
    "edits_act",
    "gradients_reach",
    "gradcheck",
    "trains_on_one",
    "low_precision",
    "keeps_state",
    "builds_on_meta",
    "channels_last",
    "compiles",
    "exports",
    "exports_to_onnx",
    "rejects",
    "names_wrong_arguments",
    "names_wrong_inputs",
    "takes_widths",
    "attaches",
)
# The names of the checks of `regard doctor`, in its order; a test holds them to its table.
BASELINES = ("blur", "mean", "road")  # of `regard.faithful`: what stands in place of missing pixels
CHECKS = (
    "batch leakage",
    "not finite",
    "rows do not sum to 1",
    "weights too sharp",
    "weights even",
    "saturated gate",
    "constant gate",
    "same map for every image",
    "attention sink",
    "outlier tokens",
    "rows alike",
    "heads alike",
    "layers alike",
    "unused parameters",
    "no gradient",
    "gradient not finite",
    "loss not finite",
    "ignored attention",
    "attention asleep",
    "no worse with an even map",
    "not deterministic",
    "changes its input",
    "a pass changes the weights",
    "watched differs",
    "overflow in float16",
    "overflow in bfloat16",
    "compiled differs",
)
