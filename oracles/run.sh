#!/usr/bin/env bash
# Makes the golden files of the heavy reference programs again, runs the tests that read them and shows which files changed: last
# bits may, since torch's vector width is the machine's; everything else is a finding.
set -euo pipefail
cd "$(dirname "$0")/.."

stamp=.cache/oracles/requirements.txt
if ! cmp -s oracles/requirements.txt "$stamp"; then
  echo "installing the heavy oracles into .cache/oracles"
  python3 -m venv .cache/oracles
  .cache/oracles/bin/python -m pip install --quiet --disable-pip-version-check -r oracles/requirements.txt
  cp oracles/requirements.txt "$stamp"
fi
for script in oracles/{nf4,dequantise,tokenizer,llama,families,smollm2,qlora,adam8,captions,torchfile,xrv,backbones}.py; do
  echo "$script"
  .cache/oracles/bin/python "$script"
done
go test -count=1 ./inference/quant ./inference/gguf ./inference/llama ./inference/torchfile ./finetune/qlora ./finetune/metrics ./oracles
git status --short -- '*/testdata/*'
