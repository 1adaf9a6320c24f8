#!/usr/bin/env bash
# Makes the golden files of the heavy reference programs again, runs the tests that read them and shows which files changed: last
# bits may, since torch's vector width is the machine's; everything else is a finding.
set -euo pipefail
cd "$(dirname "$0")/.."

oracles/setup.sh
for script in oracles/{nf4,dequantise,tokenizer,llama,families,smollm2,qlora,adam8,captions,torchfile,xrv,backbones}.py; do
  echo "$script"
  .cache/oracles/bin/python "$script"
done
go test -count=1 ./inference/quant ./inference/gguf ./inference/llama ./inference/torchfile ./finetune/qlora ./finetune/metrics ./oracles
git status --short -- '*/testdata/*'
