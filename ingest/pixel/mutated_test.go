package pixel

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"llamaxr/ingest/dicomfile"
	"llamaxr/internal/peertest"
)

// mutatedSeeds are files whose codestreams are mutated, with the program that decodes them as well and what coded data stands behind.
var mutatedSeeds = []struct{ program, file, behind string }{
	{"dcmdrle", "MR_small_RLE.dcm", ""},
	{"dcmdrle", "rtdose_rle_1frame.dcm", ""},
	{"dcmdjpeg", "JPEGBaseline_1s_1f_u_08_08.dcm", "\xFF\xDA"},
	{"dcmdjpeg", "JPEGLosslessP14SV1_1s_1f_u_08_08.dcm", "\xFF\xDA"},
	{"dcmdjpeg", "JPEGLossless_1s_1f_u_16_12.dcm", "\xFF\xDA"},
	{"dcmdjpls", "JLSL_16_15_1_1F.dcm", "\xFF\xDA"},
	{"dcmdjpls", "emri_small_jpeg_ls_lossless.dcm", "\xFF\xDA"},
	{"dcmdjpls", "JPEGLSNearLossless_16.dcm", "\xFF\xDA"},
	{"opj_decompress", "693_J2KI.dcm", "\xFF\x93"},
	{"opj_decompress", "emri_small_jpeg_2k_lossless.dcm", "\xFF\x93"},
}

// TestMutatedCodestreams: of codestreams with flipped bits in their coded data, what both this package and another decoder take is the same picture: any bits mean
// something to an entropy decoder, so that a mutated one goes where no encoder would.
func TestMutatedCodestreams(t *testing.T) {
	trials := 40
	if os.Getenv("LLAMAXR_TORTURE") != "" {
		trials = 1000
	}
	for _, seed := range mutatedSeeds {
		t.Run(seed.file, func(t *testing.T) {
			t.Parallel()
			program := peertest.Program(t, seed.program)
			whole := readShared(t, "transfer_syntaxes/"+seed.file)
			f, err := dicomfile.Read(bytes.NewReader(whole), int64(len(whole)))
			if err != nil {
				t.Fatal(err)
			}
			place := f.FirstFrame(f.Header.NumberOfFrames)[0]
			head := rleHeader
			if seed.behind != "" {
				head = bytes.Index(whole[place.Offset:], []byte(seed.behind)) + 12 // of a scan of one component
			}
			random := rand.New(rand.NewPCG(7, uint64(len(whole))))
			folder := t.TempDir()
			both, one := 0, [2]int{}
			for trial := range trials {
				mutated := bytes.Clone(whole)
				for range 1 + random.IntN(4) {
					mutated[place.Offset+int64(head)+random.Int64N(place.Length-int64(head))] ^= 1 << random.IntN(8)
				}
				if seed.behind == "" && reservedRLE(firstFrame(t, mutated)) {
					continue
				}
				got, gotErr := decodeBytes(t, mutated)
				want, wantErr := secondDecoder(t, program, folder, mutated)
				switch {
				case gotErr == nil && wantErr == nil:
					both++
					if at := unlike(got, want, strings.HasPrefix(seed.file, "JPEGBaseline")); at >= 0 {
						name := filepath.Join(os.TempDir(), fmt.Sprintf("%d-%s", trial, seed.file))
						_ = os.WriteFile(name, mutated, 0o600)
						t.Errorf("trial %d: from value %d on not what %s has, see %s", trial, at, seed.program, name)
					}
				case gotErr == nil:
					one[0]++
				case wantErr == nil:
					one[1]++
				}
			}
			t.Logf("%d of %d decoded by both, %d here only, %d there only", both, trials, one[0], one[1])
			if both == 0 {
				t.Error("no mutation was decoded by both")
			}
		})
	}
}

// unlike is the first value of a frame that is not what the other decoder has, -1 for none. Of the DCT's values those far out of range wrap around
// there (libjpeg's range limit) and are clipped here.
func unlike(got *Frame, want []byte, dct bool) int {
	other := *got
	if other.Data = want; len(want) != len(got.Data) {
		return 0
	}
	other.clearUnused()
	for i := range got.values() {
		if v := got.word(i); v != other.word(i) && !(dct && (v == 0 || v == 1<<got.BitsStored-1)) {
			return i
		}
	}
	return -1
}

// reservedRLE reports whether a codestream has the control byte -128, for which nothing is to be written (PS3.5 G.3.1) and dcmdrle writes a run.
func reservedRLE(b []byte) bool {
	for s := range binary.LittleEndian.Uint32(b) {
		for rest := b[min(int(binary.LittleEndian.Uint32(b[4+4*s:])), len(b)):]; len(rest) > 0; {
			switch control := int8(rest[0]); {
			case control == -128:
				return true
			case control < 0:
				rest = rest[min(2, len(rest)):]
			default:
				rest = rest[min(2+int(control), len(rest)):]
			}
		}
	}
	return false
}

// secondDecoder has a program decode a file, and returns the values as Frame.Data has them.
func secondDecoder(t *testing.T, program, folder string, file []byte) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	in, out := filepath.Join(folder, "in.dcm"), filepath.Join(folder, "out.dcm")
	codec := filepath.Base(program) == "opj_decompress"
	if codec {
		in, out, file = filepath.Join(folder, "in.j2k"), filepath.Join(folder, "out.rawl"), firstFrame(t, file)
	}
	_ = os.Remove(out)
	if err := os.WriteFile(in, file, 0o600); err != nil {
		t.Fatal(err)
	}
	arguments := []string{in, out}
	if codec {
		arguments = []string{"-i", in, "-o", out}
	}
	if text, err := exec.CommandContext(ctx, program, arguments...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, text)
	}
	if codec {
		return os.ReadFile(out)
	}
	frame, err := decodeFile(out)
	if err != nil {
		return nil, err
	}
	return frame.Data, nil
}
