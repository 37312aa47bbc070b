"""The subsets of ImageNet that papers distil, ten classes each, by wnid and in the order of the papers' labels.

The lists and their order are those of the code of Cazenavette et al., "Dataset Distillation by Matching Training
Trajectories" (CVPR 2022), which gives the classes by their number among ImageNet's thousand (wnids in ascending order).
Its comments call tiger cats bengal cats, and the black and gold garden spider a garden spider, which is another class.
"""

FOLDERS = ("imagenet", "imagenet-1k", "imagenet1k", "ILSVRC2012", "ILSVRC")
"""What a folder with all of ImageNet may be called, beside folders of a subset's own name."""

SUBSETS: dict[str, dict[str, str]] = {
    "imagenette": {
        "n01440764": "tench",
        "n02102040": "English springer",
        "n02979186": "cassette player",
        "n03000684": "chain saw",
        "n03028079": "church",
        "n03394916": "French horn",
        "n03417042": "garbage truck",
        "n03425413": "gas pump",
        "n03445777": "golf ball",
        "n03888257": "parachute",
    },
    "imagewoof": {
        "n02096294": "Australian terrier",
        "n02093754": "Border terrier",
        "n02111889": "Samoyed",
        "n02088364": "beagle",
        "n02086240": "Shih-Tzu",
        "n02089973": "English foxhound",
        "n02087394": "Rhodesian ridgeback",
        "n02115641": "dingo",
        "n02099601": "golden retriever",
        "n02105641": "Old English sheepdog",
    },
    "imagefruit": {
        "n07753275": "pineapple",
        "n07753592": "banana",
        "n07745940": "strawberry",
        "n07747607": "orange",
        "n07749582": "lemon",
        "n07768694": "pomegranate",
        "n07753113": "fig",
        "n07720875": "bell pepper",
        "n07718472": "cucumber",
        "n07742313": "Granny Smith",
    },
    "imagemeow": {
        "n02123045": "tabby",
        "n02123159": "tiger cat",
        "n02123394": "Persian cat",
        "n02123597": "Siamese cat",
        "n02124075": "Egyptian cat",
        "n02129165": "lion",
        "n02129604": "tiger",
        "n02128925": "jaguar",
        "n02128757": "snow leopard",
        "n02127052": "lynx",
    },
    "imagesquawk": {
        "n01806143": "peacock",
        "n02007558": "flamingo",
        "n01818515": "macaw",
        "n02051845": "pelican",
        "n02056570": "king penguin",
        "n01614925": "bald eagle",
        "n01843383": "toucan",
        "n01518878": "ostrich",
        "n01860187": "black swan",
        "n01819313": "sulphur-crested cockatoo",
    },
    "imageyellow": {
        "n02206856": "bee",
        "n12057211": "yellow lady's slipper",
        "n07753592": "banana",
        "n07749582": "lemon",
        "n12144580": "corn",
        "n04146614": "school bus",
        "n03530642": "honeycomb",
        "n02129165": "lion",
        "n01773157": "black and gold garden spider",
        "n01531178": "goldfinch",
    },
}
"""Subset to its classes: wnid to name, in order."""
