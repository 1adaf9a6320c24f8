"""The coco recipe by its own program: pycocoevalcap's BLEU, ROUGE-L and CIDEr, and METEOR 1.5 through its jar, of the pairs that
finetune/metrics/metrics_test.go makes of the IU reports. Needs java. Writes finetune/metrics/testdata/coco.json.gz.
"""
import gzip
import json
import pathlib

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge

root = pathlib.Path(__file__).parent.parent
testdata = root / "finetune" / "metrics" / "testdata"
reports = [json.loads(line) for line in open(root / ".." / "shared" / "data" / "reports" / "iu_reports.jsonl")]
pairs = []
for i, own in enumerate(reports):
    other = reports[(7 * i + 3) % len(reports)]
    findings = (own if i % 2 else other)["findings"]
    pairs.append((own["findings"] + " " + own["impression"], findings + " " + other["impression"]))
pairs += [(p["reference"], p["candidate"]) for p in map(json.loads, open(testdata / "odd.jsonl"))]

gts = {i: [reference] for i, (reference, _) in enumerate(pairs)}
res = {i: [candidate] for i, (_, candidate) in enumerate(pairs)}
bleu, bleus = Bleu(4).compute_score(gts, res, verbose=0)
rouge, rouges = Rouge().compute_score(gts, res)
cider, ciders = Cider().compute_score(gts, res)
program = Meteor()
meteor, meteors = program.compute_score(gts, res)
rows = [[float(v) for v in program._stat(res[i][0], gts[i]).split()] for i in range(0, len(pairs), 40)]
program.meteor_p.kill()

names = ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr", "METEOR"]
each = zip(*bleus, rouges, ciders, meteors)
golden = {
    "corpus": dict(zip(names, [*map(float, bleu), float(rouge), float(cider), meteor])),
    "names": names,
    "pairs": [[round(float(v), 9) for v in row] for row in each],
    "meteor_statistics": rows,  # of every 40th pair
}
with open(testdata / "coco.json.gz", "wb") as out, gzip.GzipFile("", "wb", 9, out, 0) as packed:
    packed.write(json.dumps(golden).encode())
