"""Scripts: which write words without spaces between them."""

UNSPACED = "".join(
    (
        r"\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece",  # Thai and Lao
        r"\u1000-\u103f\u1780-\u17d3",  # Burmese and Khmer
        r"\u3005\u3041-\u3096\u30a1-\u30fa\u30fc",  # Japanese
        r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",  # Chinese
    )
)
"""Their characters, as they stand in a class of a regular expression."""
