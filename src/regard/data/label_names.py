"""Names and colours of the classes of published datasets for segmentation."""

from __future__ import annotations

from collections.abc import Mapping

Colour = tuple[int, int, int]  # red, green, blue

VOC = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)

# The value of a pixel in gtFine's labelIds, the class, and its colour; the order is that of the training ids.
CITYSCAPES: Mapping[int, tuple[str, Colour]] = {
    7: ("road", (128, 64, 128)),
    8: ("sidewalk", (244, 35, 232)),
    11: ("building", (70, 70, 70)),
    12: ("wall", (102, 102, 156)),
    13: ("fence", (190, 153, 153)),
    17: ("pole", (153, 153, 153)),
    19: ("traffic light", (250, 170, 30)),
    20: ("traffic sign", (220, 220, 0)),
    21: ("vegetation", (107, 142, 35)),
    22: ("terrain", (152, 251, 152)),
    23: ("sky", (70, 130, 180)),
    24: ("person", (220, 20, 60)),
    25: ("rider", (255, 0, 0)),
    26: ("car", (0, 0, 142)),
    27: ("truck", (0, 0, 70)),
    28: ("bus", (0, 60, 100)),
    31: ("train", (0, 80, 100)),
    32: ("motorcycle", (0, 0, 230)),
    33: ("bicycle", (119, 11, 32)),
}

# The eleven classes to which SegNet's authors reduced the 32 of CamVid, in the order of their numbers.
CAMVID: Mapping[str, Colour] = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (60, 40, 222),
    "tree": (128, 128, 0),
    "sign": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
}


def apart(count: int) -> tuple[Colour, ...]:
    """The colours of Pascal VOC's palette: as many as wanted, the first one black, no two alike.

    The bits of a class number are spread over the three channels, the lowest into the highest bit.
    """
    found: list[Colour] = []
    for label in range(count):
        channels = [0, 0, 0]
        for place in range(8):
            for channel in range(3):
                channels[channel] |= (label >> (3 * place + channel) & 1) << (7 - place)
        found.append((channels[0], channels[1], channels[2]))
    return tuple(found)


# Palette name -> colour -> the class that it means, by number; 255 is void.
PALETTES: Mapping[str, Mapping[Colour, int]] = {
    "voc": {**{colour: label for label, colour in enumerate(apart(len(VOC)))}, (224, 224, 192): 255},
    "cityscapes": {
        **{colour: label for label, (_, colour) in enumerate(CITYSCAPES.values())},
        (0, 0, 0): 255,
    },
    "camvid": {**{colour: label for label, colour in enumerate(CAMVID.values())}, (0, 0, 0): 255},
}
# The classes of a palette, in the order of the labels.
PALETTE_CLASSES: Mapping[str, tuple[str, ...]] = {
    "voc": VOC,
    "cityscapes": tuple(name for name, _ in CITYSCAPES.values()),
    "camvid": tuple(CAMVID),
}
