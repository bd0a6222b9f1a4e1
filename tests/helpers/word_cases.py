"""Small lexicons and texts with what word matching gets wrong: case, marks, shared surfaces, rare characters."""

RARE = "𠮷鬱🙂"
WORDS = [
    {"en": "water", "fr": "eau", "zh": "水", "ja": "水"},
    {"en": "cat", "fr": "chat", "zh": "猫", "ja": "猫"},
    {"en": "University", "fr": "université", "zh": "大学", "ja": "大学"},
    {"en": "university student", "fr": "étudiant", "zh": "大学生", "ja": "学生"},
    {"en": "school", "fr": "école", "zh": "学院", "ja": "がっこう"},
    {"en": "kelvin", "fr": "kelvin", "zh": "开尔文", "ja": "ケルビン"},
    {"en": "K", "fr": "straße", "zh": "生", "ja": "ガラス"},
    {"en": "Debian", "fr": "İstanbul", "zh": "手册", "ja": "手"},
    {"en": "wild bird", "fr": "chat sauvage", "zh": "𠮷", "ja": "鬱"},
    {"en": "emoji", "fr": "🙂", "zh": "表情", "ja": "🙂"},
]
TRAPS = [
    ("mul", "water l'eau 水 eaux waters Water WATER\u0301 water"),
    ("zh", "水大学生学院水"),
    ("ja", "水大学生学生がっこう水"),
    ("mul", "水水水 eau水eau 猫cat猫"),
    ("en", "水 is water"),
    ("zh", "Debian手册 and the Debian手册Debian手"),
    ("fr", "L'université, l'e\u0301tudiant: E\u0301COLE école ÉCOLES"),
    ("ja", "か\u3099っこう がっこう カ\u3099ラス ガラス ケルヒ\u3099ン ｹﾙﾋﾞﾝ"),
    ("en", "300 \u212a is 300 K; \u212aelvin KELVIN kelvins k\u0301 k_ 5k k5"),
    ("fr", "STRA\u1e9eE straße stra\u00dfe STRASSE; \u0130stanbul i\u0307stanbul istanbul I\u0307stanbul"),
    ("mul", f"{RARE}{RARE} wild bird {RARE} chat sauvage🙂emoji"),
    ("ja", "鬱鬱🙂𠮷🙂手手册"),
    ("mul", "university student étudiant 大学生 大学 学生 University"),
    ("en", "ȺȺ water Ⱥ 水 ⱥwater eau\u1e9e水"),
    ("en", "water"),
    ("zh", "水"),
    ("xx", "水 water eau"),
    ("en", ""),
    ("en", "nothing of the kind"),
    ("mul", "water " * 120 + "水 eau"),
]
TINY = [
    {"en": "a", "fr": "b", "zh": "水", "ja": "水"},
    {"en": "ab", "fr": "ba", "zh": "学", "ja": "学生"},
    {"en": "A b", "fr": "é", "zh": "学生学", "ja": "が"},
    {"en": "k", "fr": "bab", "zh": "生", "ja": "カ゛".replace("゛", "\u3099")},
    {"en": "ß", "fr": "İ", "zh": "鬱", "ja": "🙂鬱"},
    {"en": "c'd", "fr": "d_", "zh": "猫a", "ja": "水猫"},
]
