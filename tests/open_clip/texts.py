"""Hard strings, and the ids that open_clip's tokeniser gives them."""

import json
from pathlib import Path

from open_clip import SimpleTokenizer

from strings import STRINGS
from versions import made_with

CONTEXT = 77


def write(file: Path) -> None:
    tokenizer = SimpleTokenizer(context_length=CONTEXT)
    cases = []
    for text in STRINGS:
        ids = tokenizer(text)[0].tolist()
        # A text with the end's own name in it holds the end twice: what follows is not padding.
        last = max(at for at, id in enumerate(ids) if id == tokenizer.eot_token_id)
        assert all(id == 0 for id in ids[last + 1:]), text
        cases.append([text, ids[:last + 1]])
    lines = ",\n".join(json.dumps(case) for case in cases)
    head = json.dumps({"made_with": made_with(), "context_length": CONTEXT})
    file.write_text(f'{head[:-1]}, "texts": [\n{lines}\n]}}\n')
