#!/bin/sh
# Makes the sample states that TestOlderStates converts: each by the program of the commit in its name, from phantoms only.
#   daemon/testdata/states/make.sh [COMMIT...]
# Needs what `make test-setup` installs. A sample that is there stays as it is: it is what that program wrote.
set -eu
cd "$(dirname "$0")"
root=$(git rev-parse --show-toplevel)
python=${LLAMAXR_PYTHON:-$root/.cache/venv/bin/python}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export GOEXPERIMENT=simd GOMLX_NO_AUTO_INSTALL=1

# Images of 128 pixels a side: phantoms, thinned out.
thin() { # FROM TO ATTRIBUTE=VALUE...
    "$python" - "$@" <<'PY'
import sys
import pydicom

ds = pydicom.dcmread(sys.argv[1])
step = ds.Rows // 128
pixels = ds.pixel_array[::step, ::step][:128, :128]
ds.Rows, ds.Columns = pixels.shape
for spacing in ("PixelSpacing", "ImagerPixelSpacing"):
    if spacing in ds:
        ds[spacing].value = [float(v) * step for v in ds[spacing].value]
for change in sys.argv[3:]:
    name, value = change.split("=")
    if name == "FirstPixel":
        pixels[0, 0] ^= 1
    else:
        setattr(ds, name, value)
ds.PixelData = pixels.tobytes()
ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
ds.save_as(sys.argv[2])
PY
}

make() { # COMMIT
    commit=$1
    dir=$work/$commit
    mkdir -p "$dir/source" "$dir/in" "$dir/pacs"
    git -C "$root" archive "$commit" | tar x -C "$dir/source"
    (cd "$dir/source" && go build -trimpath -o "$dir/llamaxr" ./daemon/llamaxr)
    llamaxr=$dir/llamaxr state=$dir/state
    port=11197 web=11198 pacs=11199 # jobs that wait name the last
    for seed in 1 2 3 4; do
        "$llamaxr" phantom --out "$dir/in" --seed $seed >/dev/null
        for view in frontal lateral; do thin "$dir/in/phantom-$seed-$view.dcm" "$dir/$seed-$view.dcm"; done
    done
    thin "$dir/in/phantom-3-frontal.dcm" "$dir/ct.dcm" SOPClassUID=1.2.840.10008.5.1.4.1.1.2 Modality=CT
    thin "$dir/in/phantom-1-frontal.dcm" "$dir/other.dcm" FirstPixel=
    storescp -aet PACS -od "$dir/pacs" $pacs & receiver=$!
    run() { # DESTINATION-PORT
        "$llamaxr" run --state "$state" --listen 127.0.0.1:$port --ae-title LLAMAXR --quiet-time 1s --http 127.0.0.1:$web --destination PACS@127.0.0.1:"$1" \
            >"$dir/log" 2>&1 & daemon=$!
        until curl -sf http://127.0.0.1:$web/healthz >/dev/null; do sleep 0.2; done
    }
    send() { "$llamaxr" send "$@" --to LLAMAXR@127.0.0.1:$port || true; }
    until_all() { # STATE COUNT
        until [ "$("$llamaxr" studies --state "$state" --json | grep -o "\"state\": *\"$1\"" | wc -l)" -ge "$2" ]; do sleep 0.3; done
    }
    # Two delivered studies, of which one is rejected where notes are known; one that is no chest; another object under a known UID.
    run $pacs
    send "$dir/1-frontal.dcm" "$dir/1-lateral.dcm"
    send "$dir/4-frontal.dcm" "$dir/4-lateral.dcm"
    send "$dir/ct.dcm"
    until_all delivered 2
    until_all refused 1
    send "$dir/other.dcm"
    if [ -e "$dir/source/ingest/rejection" ]; then
        "$python" "$root/daemon/e2e/testdata/reject.py" -- 113037 "$dir/note.dcm" "$dir/4-frontal.dcm" "$dir/4-lateral.dcm"
        send "$dir/note.dcm"
        sleep 5
    fi
    if "$llamaxr" --help | grep -q corrections; then
        uid=$(dcmdump +P StudyInstanceUID "$dir/1-frontal.dcm" | sed 's/.*\[\(.*\)\].*/\1/')
        printf '{"study_instance_uid":"%s","report":"FINDINGS: The heart is not enlarged. IMPRESSION: No acute disease."}\n{"study_instance_uid":"1.2.3","report":"FINDINGS: Clear lungs. IMPRESSION: Normal."}\n' "$uid" >"$dir/c.jsonl"
        "$llamaxr" corrections import "$dir/c.jsonl" --state "$state" || true
    fi
    kill "$daemon" && wait "$daemon" || true
    kill "$receiver"
    # A study whose delivery waits.
    run $pacs
    send "$dir/2-frontal.dcm" "$dir/2-lateral.dcm"
    until_all drafted 1
    sleep 2
    kill "$daemon" && wait "$daemon" || true
    if "$llamaxr" user --help 2>/dev/null | grep -q add; then
        echo correct-horse | "$llamaxr" user add jane --role signer --full-name DOE^JANE --state "$state"
    fi
    "$llamaxr" studies --state "$state" --json >"$state/studies.json" # what the program itself said of it
    schema=$(sed -n 's/^const schemaVersion = "\(.*\)"/\1/p; s/^\tFormat = \([0-9]*\).*/\1/p' "$dir"/source/queue/*.go)
    rm -f "$state/llamaxr.sock"
    # For size: the pictures of what was sent are left out, and all that only the reading room shows.
    rm -f "$state"/drafts/*/*/*.png
    waits=$("$llamaxr" queue list --state "$state" --json | grep -o '"study": *"[0-9.]*"' | head -1 | grep -o '[0-9.]*')
    for draft in "$state"/drafts/*/*/draft.json; do
        grep -q "$waits" "$draft" || rm -f "${draft%/*}/heatmap.dcm" "${draft%/*}/chart.dcm"
    done
    tar c --sort=name --owner=0 --group=0 --numeric-owner -C "$state" . | xz -9e >"format-$schema-$commit.tar.xz"
    ls -l "format-$schema-$commit.tar.xz"
}

[ $# -gt 0 ] || set -- d590465 7a2217b 87385c3 f74d55d
for commit in "$@"; do
    [ -n "$(find . -name "format-*-$commit.tar.xz")" ] || make "$commit"
done
