"""Golden files of tokenizers: what Hugging Face's tokenizers makes of texts.

For each tokenizer.json under inference/llama/testdata/tokenizer/{score,llama3}, writes cases.json beside it: texts with their ids.
llama3/tokenizer.json is trained here with Llama 3's pattern; score/tokenizer.json is written by
`go test ./inference/llama -run OwnTokenizer -update`. Needs tokenizers (oracles/requirements.txt).
"""

import json
import sys
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"]
TEXTS = [
    "FINDINGS: The heart is enlarged. No pleural effusion.\nIMPRESSION: Cardiomegaly.",
    "[0.016, 0.188, 0.15, 0.045, 1.0, 0.0, None]",
    "Effusion: 0.82 0.10\nPleural Thickening: 0.05 n/a",
    "it's HE'LL they're I'd we've I'm can't 'such 'Sx ''s",
    "a  b   c\t\td \n e\r\n\r\nf  \n  g   ",
    "   leading and trailing   ",
    " ",
    "\n",
    "\n \n",
    "1234567 12 3.14159 0.5 10.75 1.5cm x2 2x",
    "Größe 東京 naïve Ελλάδα żółć ½ ² Ⅷ ١٢٣٤",
    "emoji 🫁 and combining e\u0301, no-break\u00a0space, ideographic\u3000space, line\u2028separator",
    "(see above) [1] {x} <|eot_id|> <|end_of_text|>done<|begin_of_text|>",
    "###  Instruction:\n\n!!!\n\n...--- $5 #1 a_b a-b /n/a",
    "tail of spaces before a line    \nnext",
    "'ſ the long s, K kelvin",
    "",
]


def llama3(folder):
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=sorted(alphabet), show_progress=False)
    tokenizer.train_from_iterator([text for text in TEXTS for _ in range(3)], trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))


def main(root):
    llama3(root / "llama3")
    for folder in (root / "llama3", root / "score"):
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        cases = []
        for text in TEXTS:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            cases.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=True)})
        (folder / "cases.json").write_text(json.dumps(cases, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    base = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    main(base / "inference" / "llama" / "testdata" / "tokenizer")
