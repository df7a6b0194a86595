"""The words of the meadow: who lives there, what grows there, and the facts its almanac keeps."""

from __future__ import annotations

from typing import NamedTuple


class Animal(NamedTuple):
    """An animal and what the almanac says of it."""

    name: str
    plural: str
    young: str
    food: str
    home: str
    sound: str


class Crop(NamedTuple):
    """A crop (named in the plural) and what the almanac says of it."""

    name: str
    sown: str
    gathered: str
    soil: str
    dish: str


ANIMALS = [
    Animal("sheep", "sheep", "lamb", "clover", "fold", "bleats"),
    Animal("goat", "goats", "kid", "hawthorn leaves", "shed", "bleats"),
    Animal("cow", "cows", "calf", "fresh grass", "byre", "lows"),
    Animal("horse", "horses", "foal", "oats", "stable", "neighs"),
    Animal("donkey", "donkeys", "foal", "thistles", "stable", "brays"),
    Animal("pig", "pigs", "piglet", "acorns", "sty", "grunts"),
    Animal("hen", "hens", "chick", "barley", "coop", "clucks"),
    Animal("duck", "ducks", "duckling", "pond weed", "reed hut", "quacks"),
    Animal("goose", "geese", "gosling", "short grass", "pen", "honks"),
    Animal("turkey", "turkeys", "poult", "beech nuts", "pen", "gobbles"),
    Animal("dog", "dogs", "puppy", "stewed bones", "kennel", "barks"),
    Animal("cat", "cats", "kitten", "warm milk", "hayloft", "purrs"),
    Animal("rabbit", "rabbits", "kit", "carrot tops", "hutch", "thumps"),
    Animal("hare", "hares", "leveret", "young wheat", "furrow", "is silent"),
    Animal("fox", "foxes", "cub", "windfall plums", "den", "yaps"),
    Animal("badger", "badgers", "cub", "earthworms", "sett", "growls"),
    Animal("hedgehog", "hedgehogs", "hoglet", "slugs", "leaf pile", "snuffles"),
    Animal("mouse", "mice", "pup", "fallen grain", "wall", "squeaks"),
    Animal("mole", "moles", "pup", "grubs", "tunnel", "is silent"),
    Animal("owl", "owls", "owlet", "voles", "barn beam", "hoots"),
    Animal("swan", "swans", "cygnet", "river weed", "nest of reeds", "hisses"),
    Animal("pigeon", "pigeons", "squab", "dried peas", "dovecote", "coos"),
    Animal("bee", "bees", "grub", "heather nectar", "hive", "hums"),
    Animal("deer", "deer", "fawn", "willow shoots", "thicket", "barks"),
    Animal("frog", "frogs", "tadpole", "midges", "pond", "croaks"),
    Animal("otter", "otters", "pup", "trout", "holt", "whistles"),
]

CROPS = [
    Crop("oats", "March", "August", "light soil", "porridge"),
    Crop("hops", "April", "August", "chalky soil", "brown ale"),
    Crop("peas", "March", "June", "moist soil", "green soup"),
    Crop("beans", "May", "September", "rich soil", "bean stew"),
    Crop("carrots", "April", "October", "sandy soil", "carrot cake"),
    Crop("turnips", "June", "November", "firm soil", "mash"),
    Crop("potatoes", "April", "September", "loose soil", "dumplings"),
    Crop("onions", "March", "August", "dry soil", "onion tart"),
    Crop("cabbages", "May", "November", "heavy soil", "hotpot"),
    Crop("beetroots", "May", "October", "deep soil", "red salad"),
    Crop("leeks", "April", "December", "rich soil", "leek pie"),
    Crop("pumpkins", "May", "October", "warm soil", "pumpkin soup"),
    Crop("radishes", "April", "June", "loose soil", "spring salad"),
    Crop("parsnips", "March", "December", "deep soil", "roast roots"),
    Crop("lettuces", "April", "July", "moist soil", "garden salad"),
    Crop("strawberries", "September", "June", "sandy soil", "jam"),
    Crop("sunflowers", "May", "September", "warm soil", "seed bread"),
    Crop("lentils", "April", "August", "dry soil", "lentil stew"),
    Crop("sprouts", "March", "July", "moist soil", "green pie"),
    Crop("shallots", "October", "July", "light soil", "shallot bread"),
]

NAMES = [
    "Ada", "Ben", "Clara", "Daniel", "Edith", "Felix", "Greta", "Hugo", "Iris", "Jonas", "Kate", "Leo",
    "Mabel", "Nils", "Olive", "Peter", "Rosa", "Simon", "Tilda", "Victor", "Wanda", "Yara",
]  # fmt: skip

PLACES = [
    "the old mill", "the long meadow", "the stone bridge", "the apple orchard", "the village green",
    "the north field", "the duck pond", "the market square", "the beech wood", "the hill farm",
    "the river bank", "the walled garden",
]  # fmt: skip

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]

NUMBERS = [
    "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "twenty",
]  # fmt: skip

THINGS = {
    "animal": [animal.name for animal in ANIMALS],
    "plant": [
        "oak", "willow", "clover", "nettle", "daisy", "fern", "ivy", "thistle", "heather", "poppy", "reed", "elm",
    ],
    "tool": [
        "rake", "spade", "scythe", "hammer", "saw", "hoe", "shears", "bucket", "ladder", "plough", "axe", "sickle",
    ],
    "food": [
        "bread", "cheese", "butter", "honey", "porridge", "jam", "soup", "cider", "pie", "cream", "cake", "stew",
    ],
}  # fmt: skip

WEATHER = [
    "The morning was cold and bright.",
    "A soft rain fell until noon.",
    "The wind came from the west all day.",
    "Mist lay on the fields.",
    "The sun was warm for the time of year.",
    "Snow still covered the paths.",
]

DEEDS = [
    ("mended", "a broken gate"),
    ("picked", "a basket of pears"),
    ("painted", "the wooden fence"),
    ("counted", "the spring lambs"),
    ("cut", "the tall hay"),
    ("planted", "a row of young trees"),
    ("cleaned", "the stone well"),
    ("baked", "six loaves of bread"),
    ("found", "a lost bell"),
    ("carried", "sacks of grain"),
    ("sheared", "the oldest ewe"),
    ("built", "a small boat"),
]

WARES = ["eggs", "apples", "candles", "baskets", "wool", "walnuts", "ribbons", "pears", "cheese", "honey"]

#: Pairs of line endings that rhyme.
RHYMES = [
    ("beside the stream", "a quiet dream"),
    ("upon the hill", "the morning still"),
    ("beneath the tree", "the distant sea"),
    ("along the lane", "the summer rain"),
    ("behind the wall", "the first snowfall"),
    ("across the hay", "the break of day"),
    ("within the wood", "all that is good"),
    ("below the moon", "an old sweet tune"),
]

MOODS = [
    "sleepy", "merry", "clever", "lonely", "tiny", "proud", "gentle", "hungry", "brave", "curious", "patient", "muddy",
]  # fmt: skip

#: What can be brainstormed about an animal or its keeper: the question's words, and the answers.
IDEAS = {
    "gifts for {name}, who keeps {animals}": [
        "a warm pair of gloves", "a painted sign for the {home}", "a sack of {food}", "a sturdy new lantern",
        "a book about {animals}", "a tin of oat biscuits", "a soft brush", "a woollen hat",
    ],
    "names for a young {animal} at {place}": [
        "Bramble", "Clover", "Pebble", "Hazel", "Acorn", "Misty", "Button", "Poppy", "Barley", "Sorrel",
    ],
    "things to do with the {animals} near {place} on a rainy {day}": [
        "sweep out the {home}", "sort the {food} into jars", "mend the latch on the gate", "draw their portraits",
        "tell them a story", "weigh each one", "wash the feeding bowls", "teach one a trick",
    ],
    "signs that {name}'s {animals} are well": [
        "they eat their {food} with joy", "their eyes are clear", "they sleep calmly in the {home}",
        "they come when they are called", "their coats shine", "they walk without a limp",
        "they greet {name} at the gate",
    ],
}  # fmt: skip
