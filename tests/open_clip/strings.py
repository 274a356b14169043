"""Strings that tell one tokeniser from another."""

PLAIN = [
    "", " ", "a", "Hi there", "a photo of a cat", "A PHOTO OF A CAT", "a diagram",
    "the quick brown fox jumps over the lazy dog", "iPhone 15 Pro Max", "McDonald's", "e-mail",
    "state-of-the-art", "3.14159", "1234567890", "1,000,000.50", "42nd", "2x4", "H2O", "COVID-19",
    "$9.99 (50% off!)", "#hashtag @mention", "https://example.com/a?b=c&d=e#f", "user@example.com",
    "C:\\Users\\me\\file.txt", "foo_bar_baz", "snake_case and camelCase", "a/b/c", "1/2 + 3/4 = 5/4",
    "x^2 + y^2 = z^2", "f(x) = {1, 2, 3}", "[link](url)", "**bold** _it_ `code`", "~/.bashrc",
    "...", "!!!", "?!?!", "--", "a--b", "\"quoted\"", "'quoted'", "((nested) [brackets] {here})",
    "no.space,after;punctuation:here", "end.", "antidisestablishmentarianism",
    "pneumonoultramicroscopicsilicovolcanoconiosis", "zzzzzzzzzzzzzzzzzzzz", "aAaAaAaA", "qwrtpsdfg",
]
CONTRACTIONS = [
    "I'm", "you're we've they'll he'd it's don't", "I'M YOU'RE WE'VE THEY'LL HE'D IT'S DON'T",
    "rock'n'roll", "'tis", "o'clock", "y'all'd've", "cats'", "it''s", "'s", "'''", "a 's b",
    "it\u2019s a dog\u2019s life", "l'\u00e9t\u00e9", "d'Artagnan", "'dog", "x'lly",
]
SPECIAL = [
    "<|endoftext|>", "<|startoftext|>", "a <|endoftext|> b", "<start_of_text>", "<end_of_text>",
    "a <start_of_text> b <end_of_text> c", "<END_OF_TEXT>", "x<end_of_text>y", "<end_of_text",
    "<start_of_text><start_of_text>", "<|endoftext|><|endoftext|>", "</w>", "a</w>b", "!<end_of_text>",
]
WHITE_SPACE = [
    "   leading", "trailing   ", "a  b   c", "a\tb\tc", "a\nb\nc", "a\r\nb\rc", "\n\n\n", "\t",
    "a\u00a0b", "a\u2003b\u2009c", "a\u3000b", "a\u200bb", "a\ufeffb", "\ufeffbegins", "a\u2028b\u2029c",
    "a\x0bb\x0cc", "a\x85b", "a\u2060b", "a\u00adb", "a\u180eb", "a\u202fb",
]
CONTROL = [
    "a\x00b", "\x01\x02\x03", "bell\x07", "a\x1bb", "\x1b[31mred\x1b[0m", "\x1b[", "a\x1b[1;2Hb\x1b[9", "a\x7fb", "del\x7f",
    "a\x80b", "a\x9fb", "a\x1cb\x1db\x1eb\x1f", "\x08back", "a\u200eb\u200fc", "a\u202ab\u202cc",
    "a\u2066b\u2069c", "\ufffe", "a\ufffdb", "\ufff9x\ufffay\ufffb", "a\u206ab",
]
ENTITIES = [
    "&amp;", "&lt;b&gt;", "&quot;quoted&quot;", "AT&amp;T", "AT&amp;amp;T", "AT&amp;amp;amp;T",
    "&#39;", "&#x27;", "&#X27;", "&apos;", "&nbsp;", "a&nbsp;b", "&copy; 2024", "&copy 2024", "&copy2024",
    "&eacute;t&eacute;", "caf&eacute", "&notanentity;", "&notit; I", "&not", "&ampere", "&amp", "&amp;lt;",
    "&amp;#39;", "&#38;lt;", "&#38;#39;", "&hearts;&spades;", "&#128512;", "&#x1F600;", "&#x1F600",
    "&#128;", "&#150;", "&#x80;", "&#0;", "&#xD800;", "&#1114112;", "&#99999999999;", "&#10;", "&#9;", "&#x;",
    "&#;", "&", "&&", "& amp;", "&;", "a & b", "a&b", "a&lt", "&lt&gt", "&LT;", "&AMP;", "&EACUTE;", "&Eacute;",
    "<p>AT&amp;amp;amp;T</p>", "<b>&EACUTE;</b>", "&EACUTE;\n<b>&EACUTE;</b>\n&EACUTE;", "5 < 6 &amp; ~",
    "&copy2024;", "<i>&fjlig;&NotSubset;", "&#39 &#x27", "&thetasym;", "&nosuchname", "&\u00e9;", "&#\u0661;", "&Aacutexyz;",
    "<b>bold</b> &amp; more", "<p>caf&eacute;</p>", "1 &lt; 2 &amp;&amp; 3 &gt; 2", "&hellip;", "&mdash;&ndash;",
    "&ldquo;hi&rdquo;", "&frac12; cup", "&euro;5", "&NotEqualTilde;", "&bne;", "&fjlig;", "&CounterClockwiseContourIntegral;",
    "&#1;", "&#11;", "&#127;", "&#xFFFE;", "&#xFFFF;", "&#173;", "&shy;", "&zwj;", "&Tab;", "&NewLine;", "&times", "&timesbar;",
    "&para;graph", "?a=1&para=2&sect=3", "x&yen;y", "&aacuteb", "&#8217;", "&#x2019;s", "it&#8217;s", "it&rsquo;s",
]
MOJIBAKE = [
    "caf\u00c3\u00a9", "na\u00c3\u00afve", "\u00e2\u20ac\u0153quoted\u00e2\u20ac\u009d", "it\u00e2\u20ac\u2122s",
    "it\u00e2\u0080\u0099s", "schÃ¶n", "Ã¼ber", "l\u00e2\u20ac\u2122humanit\u00c3\u00a9", "Â£5", "Â© 2020", "10Â°C",
    "ðŸ˜€", "Ã¢â‚¬Å“", "âœ” No problems", "РїСЂРёРІРµС‚", "æ—¥æœ¬èªž", "Ð¿Ñ€Ð¸Ð²ÐµÑ‚", "doesnÃ¢â‚¬â„¢t", "Ã", "Ã©", "Â", "â€¦",
    "The Mona Lisa doesnÃƒÂ¢Ã¢â€šÂ¬Ã¢â€žÂ¢t have eyebrows.", "voilÃ  le travail", "Ã\u00a0 la carte", "IÃ±tÃ«rnÃ¢tiÃ´nÃ lizÃ¦tiÃ¸n",
    "æ", "ä½ å¥½", "M\u00fcller", "Ââ€œ", "fran\u00e7ais", "¡Hola!", "¿Qué?", "São Paulo",
]
FTFY = [
    "\u201ccurly\u201d \u2018quotes\u2019", "\ufb01ne \ufb02ow", "\uff26\uff35\uff2c\uff2c\uff37\uff29\uff24\uff34\uff28",
    "\uff76\uff80\uff76\uff85", "\u0132sland", "\u01c6", "e\u0301", "A\u030a", "\u212b", "\u2126", "\uac00", "\u1100\u1161",
    "\u0958", "\u2019\u2019", "\u201e\u201c", "\u02bc", "\uff01\uff1f", "\u3000\u3000x", "\u00ab\u00bb", "\ufb05\ufb06", "\u00b5\u03bc",
    "\u2460\u2461", "x\u00b2", "\u00bd", "\u2122\u00ae", "\u2026", "\u2014", "\uffe5100", "\ufb00\ufb03\ufb04", "\u1e9e",
]
SCRIPTS = [
    "Привет, мир", "Γειά σου Κόσμε", "ΟΔΥΣΣΕΥΣ", "שלום עולם", "مرحبا بالعالم", "नमस्ते दुनिया", "สวัสดีชาวโลก",
    "こんにちは世界", "你好，世界", "안녕하세요 세계", "வணக்கம் உலகம்", "გამარჯობა მსოფლიო", "Բարեւ աշխարհ", "ሰላም ልዑል",
    "ជំរាបសួរ", "မင်္ဂလာပါ", "বাংলা ভাষা", "ಕನ್ನಡ", "മലയാളം", "ไทย", "ລາວ", "བོད་སྐད", "ᏣᎳᎩ", "ᚠᚢᚦ", "𐍈𐌰", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "𝟙𝟚𝟛",
    "İstanbul", "IĞDIR", "ıI", "STRASSE straße ẞ", "ǅ", "Ünïcödé", "naïve café", "Ελλάς", "ﷺ", "Ａ１", "ａ　ｂ", "١٢٣", "१२३", "Ⅳ ⅷ", "½¼¾",
    "ſpecial lonGſ", "I\u017fm it'\u017f", "\u212aelvin", "Tiếng Việt", "Český Łódź", "Þór Ægir", "ʻokina Hawaiʻi", "ñ n\u0303", "zalgo\u0300\u0301\u0302\u0303 t\u0334e\u0335xt",
    "\u0c85\u200d", "ک\u200cل", "漢字かな交じり文、句読点。", "𠮷野家", "㍻", "㋿", "ꙮ",
]
EMOJI = [
    "😀", "😀😀", "a😀b", "👨‍👩‍👧‍👦", "👩🏽‍🚀", "🏳️‍🌈", "🇩🇪🇫🇷", "❤️", "☺", "✌🏿", "1️⃣", "🫠", "🧑‍💻 at work", "⭐⭐⭐", "👍!", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "™️", "♀️", "\ufe0f", "\u200d",
]
LONG = [
    "cat " * 100, "a" * 1000, "word" * 200, "1" * 300, "!" * 300, "😀" * 100, "\u4f60" * 300, "a photo of " * 40,
    " ".join(f"w{n}" for n in range(200)), "x " * 74 + "end", "x " * 75 + "end", "x " * 76 + "end", "it's " * 60,
    "<end_of_text> " * 90, "&amp; " * 200, "Lorem ipsum dolor sit amet, consectetur adipiscing elit. " * 12, "é" * 500, "\n" * 500 + "x",
]

STRINGS = list(dict.fromkeys(
    PLAIN + CONTRACTIONS + SPECIAL + WHITE_SPACE + CONTROL + ENTITIES + MOJIBAKE + FTFY + SCRIPTS
    + EMOJI + LONG
))
