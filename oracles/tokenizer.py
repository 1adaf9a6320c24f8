"""Golden files of tokenizers: what Hugging Face's tokenizers makes of texts.

For each folder under inference/llama/testdata/tokenizer writes cases.json: texts with their ids; and checks.json: the CRC-32 of the
ids (as 32-bit little endian) of 10,000 random strings, which test and script draw alike, and of every shared report.
llama3, digits and sentence (SentencePiece's BPE with byte fallback) have a tokenizer.json that is trained here; score's is written by
`go test ./inference/llama -run OwnTokenizer -update`; smollm2 is the vocabulary inside .cache/models/SmolLM2-135M-Instruct.Q4_1.gguf
under the steps of the model's own tokenizer.json. Needs gguf, tokenizers (oracles/requirements.txt).
"""

import json
import struct
import sys
import zlib
from pathlib import Path

import gguf
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

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


def digits(folder):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = smollm2_steps()
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=420, initial_alphabet=sorted(alphabet), show_progress=False, special_tokens=["<|endoftext|>", "<|im_start|>"],
    )
    tokenizer.train_from_iterator([text for text in TEXTS for _ in range(3)], trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))


def smollm2_steps():
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )


def sentence(folder):
    mark = "\u2581"
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(mark), normalizers.Replace(" ", mark)])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(mark, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    alphabet = [mark] + [chr(c) for c in range(33, 127)]
    trainer = trainers.BpeTrainer(
        vocab_size=520, initial_alphabet=alphabet, limit_alphabet=len(alphabet), show_progress=False, special_tokens=special,
    )
    tokenizer.train_from_iterator([text for text in TEXTS for _ in range(3)], trainer)
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = content["added_tokens"][:3]  # the bytes are plain tokens
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def smollm2(path):
    fields = gguf.GGUFReader(path).fields
    tokens, merges, kinds = (fields["tokenizer.ggml." + key].contents() for key in ("tokens", "merges", "token_type"))
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, [tuple(merge.split(" ")) for merge in merges]))
    tokenizer.pre_tokenizer = smollm2_steps()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, kind in zip(tokens, kinds) if kind == 3])
    return tokenizer


def random_texts(count):
    """Strings that the Go test draws alike: a linear congruential generator, its high bits used."""
    state = 20261124

    def below(n):
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (state >> 33) % n

    def character():
        kind = below(8)
        if kind < 3:
            return chr(32 + below(95))
        if kind == 3:
            return " \n\t\r\u00a0\u2003\u0085\u200b\u3000\u2028"[below(10)]
        if kind == 4:
            return chr(0xA1 + below(0x24F - 0xA1))
        if kind == 5:
            return chr(0x370 + below(0x3000 - 0x370))
        while True:
            c = below(0x110000)
            if not 0xD800 <= c < 0xE000:
                return chr(c)

    return ["".join(character() for _ in range(1 + below(24))) for _ in range(count)]


def check(tokenizer, texts):
    out = []
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        out.append(f"{zlib.crc32(struct.pack(f'<{len(ids)}I', *ids)):08x}")
    return "".join(out)


def main(root, project):
    llama3(root / "llama3")
    digits(root / "digits")
    sentence(root / "sentence")
    reports = []
    for line in (project.parent / "shared" / "data" / "reports" / "iu_reports.jsonl").read_text().splitlines():
        report = json.loads(line)
        reports.append(f"FINDINGS: {report['findings']}\nIMPRESSION: {report['impression']}")
    strings = random_texts(10000)
    for name in ("llama3", "digits", "sentence", "score", "smollm2"):
        folder = root / name
        if name == "smollm2":
            tokenizer = smollm2(project / ".cache" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf")
        else:
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        folder.mkdir(parents=True, exist_ok=True)
        cases = []
        for text in TEXTS:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            cases.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=True)})
        (folder / "cases.json").write_text(json.dumps(cases, indent=1, ensure_ascii=False) + "\n")
        checks = {"random": check(tokenizer, strings), "reports": check(tokenizer, reports)}
        (folder / "checks.json").write_text(json.dumps(checks) + "\n")


if __name__ == "__main__":
    base = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    main(base / "inference" / "llama" / "testdata" / "tokenizer", Path(__file__).resolve().parent.parent)
