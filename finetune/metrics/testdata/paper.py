"""The paper's recipe by its own programs: python paper.py PAIRS WORDNET < /dev/null prints a JSON line a pair.

NLTK finds WordNet 3.0 in a folder laid out like its own corpus from the database files of Debian's wordnet-base. What that lacks are
lists that no synonym depends on.
"""
import json
import os
import shutil
import sys
import tempfile

pairs, wordnet = sys.argv[1:]
with tempfile.TemporaryDirectory() as folder:
    corpus = os.path.join(folder, "corpora", "wordnet")
    os.makedirs(corpus)
    for name in os.listdir(wordnet):
        shutil.copy(os.path.join(wordnet, name), corpus)  # NLTK follows no link out of its folder
    with open(os.path.join(corpus, "lexnames"), "w") as out:  # lexicographer files: number, name, part of speech
        out.writelines(f"{n:02}\tfile.{n}\t1\n" for n in range(45))
    open(os.path.join(corpus, "index.sense"), "w").close()
    os.environ["NLTK_DATA"] = folder
    from nltk.corpus import wordnet as words
    from nltk.stem.porter import PorterStemmer
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
    from nltk.translate.meteor_score import meteor_score
    from rouge_score.rouge_scorer import RougeScorer

    words.ensure_loaded()
    method1 = SmoothingFunction().method1
    rouge = RougeScorer(["rougeL"], use_stemmer=True)
    weights = [(1,), (1 / 2, 1 / 2), (1 / 3, 1 / 3, 1 / 3), (1 / 4, 1 / 4, 1 / 4, 1 / 4)]
    vocabulary = set()
    for line in open(pairs):
        pair = json.loads(line)
        reference, candidate = pair["reference"].split(), pair["candidate"].split()
        vocabulary.update(w.lower() for w in reference + candidate)
        print(json.dumps({
            "id": pair["id"],
            "bleu": [sentence_bleu([reference], candidate, w, smoothing_function=method1) for w in weights],
            "rouge": rouge.score(pair["reference"], pair["candidate"])["rougeL"].fmeasure,
            "meteor": meteor_score([reference], candidate, alpha=0.9, beta=3, gamma=0.5),
        }))
    stem = PorterStemmer().stem
    print(json.dumps({"stems": {w: stem(w) for w in vocabulary}}))
