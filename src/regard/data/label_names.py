"""Names and colours of the classes of published datasets for segmentation."""

from __future__ import annotations

from collections.abc import Mapping

Colour = tuple[int, int, int]  # red, green, blue


def _names(text: str) -> tuple[str, ...]:
    return tuple(" ".join(name.split()) for name in text.split(","))


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

# The 150 classes of ADE20K's scene parsing, the first name of each, in the order of objectInfo150.txt.
ADE20K = _names(
    """
    wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, person, earth, door,
    table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf, house, sea, mirror, rug, field,
    armchair, seat, fence, desk, rock, wardrobe, lamp, bathtub, railing, cushion, base, box, column, signboard, chest
    of drawers, counter, sand, sink, skyscraper, fireplace, refrigerator, grandstand, path, stairs, runway, case, pool
    table, pillow, screen door, stairway, river, bridge, bookcase, blind, coffee table, toilet, flower, book, hill,
    bench, countertop, stove, palm, kitchen island, computer, swivel chair, boat, bar, arcade machine, hovel, bus,
    towel, light, truck, tower, chandelier, awning, streetlight, booth, television, airplane, dirt track, apparel,
    pole, land, bannister, escalator, ottoman, bottle, buffet, poster, stage, van, ship, fountain, conveyer belt,
    canopy, washer, plaything, swimming pool, stool, barrel, basket, waterfall, tent, bag, minibike, cradle, oven,
    ball, food, step, tank, trade name, microwave, pot, animal, bicycle, lake, dishwasher, screen, blanket, sculpture,
    hood, sconce, vase, traffic light, tray, ashcan, fan, pier, crt screen, plate, monitor, bulletin board, shower,
    radiator, glass, clock, flag
    """
)

# The 59 classes of PASCAL Context.
CONTEXT = _names(
    """
    aeroplane, bag, bed, bedclothes, bench, bicycle, bird, boat, book, bottle, building, bus, cabinet, car, cat,
    ceiling, chair, cloth, computer, cow, cup, curtain, dog, door, fence, floor, flower, food, grass, ground, horse,
    keyboard, light, motorbike, mountain, mouse, person, plate, platform, pottedplant, road, rock, sheep, shelves,
    sidewalk, sign, sky, snow, sofa, table, track, train, tree, truck, tvmonitor, wall, water, window, wood
    """
)

# The names of COCO-Stuff's ids 1 to 182.
COCO_STUFF_IDS = _names(
    """
    person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, street sign,
    stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, hat, backpack,
    umbrella, shoe, eye glasses, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat,
    baseball glove, skateboard, surfboard, tennis racket, bottle, plate, wine glass, cup, fork, knife, spoon, bowl,
    banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed,
    mirror, dining table, window, desk, toilet, door, tv, laptop, mouse, remote, keyboard, cell phone, microwave,
    oven, toaster, sink, refrigerator, blender, book, clock, vase, scissors, teddy bear, hair drier, toothbrush, hair
    brush, banner, blanket, branch, bridge, building-other, bush, cabinet, cage, cardboard, carpet, ceiling-other,
    ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain, desk-stuff, dirt, door-stuff, fence,
    floor-marble, floor-other, floor-stone, floor-tile, floor-wood, flower, fog, food-other, fruit, furniture-other,
    grass, gravel, ground-other, hill, house, leaves, light, mat, metal, mirror-stuff, moss, mountain, mud, napkin,
    net, paper, pavement, pillow, plant-other, plastic, platform, playingfield, railing, railroad, river, road, rock,
    roof, rug, salad, sand, sea, shelf, sky-other, skyscraper, snow, solid-other, stairs, stone, straw,
    structural-other, table, tent, textile-other, towel, tree, vegetable, wall-brick, wall-concrete, wall-other,
    wall-panel, wall-stone, wall-tile, wall-wood, water-other, waterdrops, window-blind, window-other, wood
    """
)

# Names among them that no pixel has; the other 171 are the classes.
COCO_UNUSED = frozenset(
    ("street sign", "hat", "shoe", "eye glasses", "plate", "mirror", "window", "desk", "door", "blender", "hair brush")
)


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
