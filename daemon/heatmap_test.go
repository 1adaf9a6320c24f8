package daemon

import (
	"bytes"
	"fmt"
	"image"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"llamaxr/daemon/config"
	"llamaxr/ingest/dicomfile"
	"llamaxr/ingest/pixel"
	"llamaxr/internal/dicomwrite"
	"llamaxr/internal/peertest"
	"llamaxr/reporting/sr"
	"llamaxr/study"

	"github.com/suyashkumar/dicom/pkg/tag"
)

// Size of the test's radiographs, and where the bright square lies in them: columns 120 to 159, rows 40 to 69.
const testColumns, testRows = 240, 200

var square = study.Region{Left: 120, Top: 40, Right: 160, Bottom: 70}

// radiograph writes an image: a ramp of dark values, and values of a fourth of the range higher in the square. bright turns a share of the
// range into a stored value, add says the rest of how it is shown.
func drawnRadiograph(t *testing.T, photometric string, bits int, bright func(float64) int, add func(*dicomwrite.Set)) string {
	t.Helper()
	var pixels []byte
	for y := range testRows {
		for x := range testColumns {
			share := 0.1 + 0.3*float64(x+y)/(testColumns+testRows)
			if x >= 120 && x < 160 && y >= 40 && y < 70 {
				share = 0.75
			}
			v := bright(share)
			pixels = append(pixels, byte(v), byte(v>>8))
		}
	}
	set := dicomwrite.New().
		Text(tag.SOPClassUID, "1.2.840.10008.5.1.4.1.1.1.1").Text(tag.SOPInstanceUID, "1.2.3.4").Text(tag.StudyInstanceUID, "1.2.3").
		Text(tag.SeriesInstanceUID, "1.2.3.1").Text(tag.Modality, "DX").Text(tag.PatientName, "Doe^Jane").Text(tag.PatientID, "P1").
		Ints(tag.SamplesPerPixel, 1).Text(tag.PhotometricInterpretation, photometric).Ints(tag.Rows, testRows).Ints(tag.Columns, testColumns).
		Ints(tag.BitsAllocated, 16).Ints(tag.BitsStored, bits).Ints(tag.HighBit, bits-1).Ints(tag.PixelRepresentation, 0).Pixels(pixels)
	if add != nil {
		add(set)
	}
	var buf bytes.Buffer
	if err := set.Write(&buf, "2.25.1", "TEST"); err != nil {
		t.Fatal(err)
	}
	return saved(t, "image.dcm", buf.Bytes())
}

func saved(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// table is a look-up table of entries of 16 bits that gives the squares of the inputs' shares.
func table(first, n int) *dicomwrite.Set {
	var data []byte
	for i := range n {
		v := uint16(math.MaxUint16 * math.Pow(float64(i)/float64(n-1), 2))
		data = append(data, byte(v), byte(v>>8))
	}
	return dicomwrite.New().ShortInts(tag.LUTDescriptor, false, n&0xFFFF, first, 16).Words(tag.LUTData, data)
}

// radiographs are images of each kind of grey scale.
func radiographs(t *testing.T) map[string]string {
	up := func(bits int) func(float64) int {
		return func(share float64) int { return int(share * float64(int(1)<<bits-1)) }
	}
	down := func(bits int) func(float64) int { return func(share float64) int { return up(bits)(1 - share) } }
	window := func(center, width string) func(*dicomwrite.Set) {
		return func(s *dicomwrite.Set) { s.Text(tag.WindowCenter, center).Text(tag.WindowWidth, width) }
	}
	rescaled := func(s *dicomwrite.Set) {
		s.Text(tag.RescaleIntercept, "-1024").Text(tag.RescaleSlope, "0.5").Text(tag.RescaleType, "US")
	}
	return map[string]string{
		"MONOCHROME2 with a window":  drawnRadiograph(t, "MONOCHROME2", 12, up(12), window("2000", "3600")),
		"MONOCHROME2, two windows":   drawnRadiograph(t, "MONOCHROME2", 12, up(12), func(s *dicomwrite.Set) { s.Text(tag.WindowCenter, "1800", "9").Text(tag.WindowWidth, "3000", "2") }),
		"MONOCHROME1 with a window":  drawnRadiograph(t, "MONOCHROME1", 14, down(14), window("8000", "15000")),
		"MONOCHROME2 without any":    drawnRadiograph(t, "MONOCHROME2", 15, up(15), nil),
		"MONOCHROME1 without any":    drawnRadiograph(t, "MONOCHROME1", 10, down(10), nil),
		"rescaled, with a window":    drawnRadiograph(t, "MONOCHROME2", 12, up(12), func(s *dicomwrite.Set) { rescaled(s); window("0", "1800")(s) }),
		"rescaled MONOCHROME1":       drawnRadiograph(t, "MONOCHROME1", 12, down(12), func(s *dicomwrite.Set) { rescaled(s); window("0", "1800")(s) }),
		"rescaled, without a window": drawnRadiograph(t, "MONOCHROME2", 12, up(12), rescaled),
		"VOI LUT":                    drawnRadiograph(t, "MONOCHROME2", 12, up(12), func(s *dicomwrite.Set) { s.Items(tag.VOILUTSequence, table(0, 4096)) }),
		"VOI LUT after a rescale": drawnRadiograph(t, "MONOCHROME2", 12, up(12), func(s *dicomwrite.Set) {
			s.Text(tag.RescaleIntercept, "100").Text(tag.RescaleSlope, "1").Items(tag.VOILUTSequence, table(100, 4096))
		}),
		"MONOCHROME1 with a VOI LUT": drawnRadiograph(t, "MONOCHROME1", 12, down(12), func(s *dicomwrite.Set) { s.Items(tag.VOILUTSequence, table(0, 4096)) }),
		"Modality LUT and a window": drawnRadiograph(t, "MONOCHROME2", 12, up(12), func(s *dicomwrite.Set) {
			s.Items(tag.ModalityLUTSequence, table(0, 4096).Text(tag.ModalityLUTType, "US"))
			window("30000", "60000")(s)
		}),
		"Modality LUT of more bits than it says": drawnRadiograph(t, "MONOCHROME2", 12, up(12), func(s *dicomwrite.Set) {
			s.Items(tag.ModalityLUTSequence, table(0, 4096).ShortInts(tag.LUTDescriptor, false, 4096, 0, 8).Text(tag.ModalityLUTType, "US"))
			window("30000", "60000")(s)
		}),
		"negative slope": drawnRadiograph(t, "MONOCHROME2", 12, down(12), func(s *dicomwrite.Set) {
			s.Text(tag.RescaleIntercept, "4095").Text(tag.RescaleSlope, "-1").Text(tag.RescaleType, "US")
			window("2000", "3600")(s)
		}),
		"VOI LUT from a negative value": drawnRadiograph(t, "MONOCHROME2", 12, up(12), func(s *dicomwrite.Set) {
			s.Text(tag.RescaleIntercept, "-1024").Text(tag.RescaleSlope, "1").Text(tag.RescaleType, "US")
			s.Items(tag.VOILUTSequence, table(0, 4096).ShortInts(tag.LUTDescriptor, true, 4096, -1024, 16))
		}),
		"Presentation LUT Shape INVERSE": drawnRadiograph(t, "MONOCHROME2", 12, down(12), func(s *dicomwrite.Set) { s.Text(tag.PresentationLUTShape, "INVERSE"); window("2000", "3600")(s) }),
	}
}

// outlined is a draft that scores an effusion in the square.
func outlined(h *study.Header) sr.Input {
	region := square
	return sr.Input{
		Draft: study.Draft{
			StudyInstanceUID: "1.2.3", Revision: 1, Scores: study.PairScores{Frontal: &study.Scores{study.Effusion: 0.91}},
			Models: []study.ModelCard{{Role: "classifier", Name: "densenet", Version: "1", Digest: strings.Repeat("ab", 32)}},
		},
		Maps:    []study.HeatMap{{View: study.Frontal, Finding: study.Effusion, Region: &region}},
		Frontal: h, Time: time.Date(2026, 1, 2, 10, 20, 0, 0, time.UTC), Device: device("test"),
	}
}

// TestPresentationStateOverItsImage: DCMTK renders each kind of image with our presentation state in the greys in which the image itself is
// read here, and has the outline and its text where the pixels of what is outlined are.
func TestPresentationStateOverItsImage(t *testing.T) {
	dcmp2pgm := peertest.Program(t, "dcmp2pgm")
	for name, path := range radiographs(t) {
		img, display, err := shownFrom(t.Context(), dicomfile.Open, path)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		header, err := dicomfile.ReadHeader(path)
		if err != nil {
			t.Fatal(err)
		}
		state, err := sr.Presentation(outlined(&header), study.Frontal, *display)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var encoded bytes.Buffer
		if _, err := state.WriteTo(&encoded); err != nil {
			t.Fatal(err)
		}
		rendered := filepath.Join(t.TempDir(), "image.pgm")
		said, err := exec.Command(dcmp2pgm, "-v", "-p", saved(t, "state.dcm", encoded.Bytes()), path, rendered).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: dcmp2pgm: %v\n%s", name, err, said)
		}
		theirs := readPGM(t, rendered)
		if worst := farthest(theirs, img); worst > 2 {
			t.Errorf("%s: DCMTK's greys are up to %.1f of 255 away", name, worst)
		}
		bright := brighterThan(theirs, 0.75)
		points := regexp.MustCompile(`coordinates: (.*),`).FindSubmatch(said)
		if points == nil {
			t.Fatalf("%s: DCMTK finds no outline:\n%s", name, said)
		}
		if got := box(t, string(points[1])); got != bright {
			t.Errorf("%s: DCMTK outlines %v, the bright pixels are %v", name, got, bright)
		}
		for _, want := range []string{`text 1: "Effusion 0.91"`, study.DraftWarning, "Graphic Layer #1 [EFFUSION]", fmt.Sprintf(`BRHC=%d\%d`, testColumns, testRows)} {
			if !strings.Contains(string(said), want) {
				t.Errorf("%s: DCMTK reads no %s:\n%s", name, want, said)
			}
		}
	}
}

// farthest is the largest difference of two pictures in greys of 255.
func farthest(a *image.Gray, b *pixel.Image) (worst float64) {
	for i, p := range b.Pixels {
		worst = max(worst, math.Abs(float64(a.Pix[i])-255*float64(p)))
	}
	return worst
}

// brighterThan encloses the pixels above a share of the brightest, in corners of pixels.
func brighterThan(picture *image.Gray, share float64) (out image.Rectangle) {
	most := uint8(0)
	for _, p := range picture.Pix {
		most = max(most, p)
	}
	for y := range testRows {
		for x := range testColumns {
			if float64(picture.GrayAt(x, y).Y) > share*float64(most) {
				out = out.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	return out
}

// box encloses points that are written as column\row, apart by commas.
func box(t *testing.T, points string) (out image.Rectangle) {
	t.Helper()
	out = image.Rect(math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt)
	for i, point := range strings.Split(points, ", ") {
		column, row, _ := strings.Cut(point, `\`)
		x, err1 := strconv.Atoi(column)
		y, err2 := strconv.Atoi(row)
		if err1 != nil || err2 != nil {
			t.Fatalf("point %d is %q", i, point)
		}
		if i == 0 {
			out = image.Rectangle{Min: image.Pt(x, y), Max: image.Pt(x, y)}
		}
		out = image.Rect(min(out.Min.X, x), min(out.Min.Y, y), max(out.Max.X, x), max(out.Max.Y, y))
	}
	return out
}

// readPGM reads a binary PGM of 8 bits.
func readPGM(t *testing.T, path string) *image.Gray {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head := fmt.Sprintf("P5\n%d %d 255\n", testColumns, testRows)
	if len(data) < testColumns*testRows || !strings.HasPrefix(string(data), "P5") {
		t.Fatalf("%s is no PGM like %q: %.40q", path, head, data)
	}
	return &image.Gray{Pix: data[len(data)-testColumns*testRows:], Stride: testColumns, Rect: image.Rect(0, 0, testColumns, testRows)}
}

// TestHeatMapFormOfADraft: a site's choice of presentation states holds for grey images of the draft's own study, and only for a draft all of
// whose images are.
func TestHeatMapFormOfADraft(t *testing.T) {
	grey := func(uid, photometric string) *study.Header {
		return &study.Header{StudyInstanceUID: uid, PhotometricInterpretation: photometric, Rows: 10, Columns: 10}
	}
	for _, test := range []struct {
		choice           string
		frontal, lateral *study.Header
		want             string
	}{
		{config.HeatMapSC, grey("1", "MONOCHROME2"), nil, config.HeatMapSC},
		{config.HeatMapGSPS, grey("1", "MONOCHROME2"), grey("1", "MONOCHROME1"), config.HeatMapGSPS},
		{config.HeatMapGSPS, nil, grey("1", "MONOCHROME1"), config.HeatMapGSPS},
		{config.HeatMapGSPS, grey("1", "MONOCHROME2"), grey("2", "MONOCHROME2"), config.HeatMapSC},
		{config.HeatMapGSPS, grey("1", "RGB"), nil, config.HeatMapSC},
	} {
		record := &DraftRecord{Draft: study.Draft{StudyInstanceUID: "1"}, Frontal: test.frontal, Lateral: test.lateral}
		if got := heatMapOf(test.choice, record); got != test.want {
			t.Errorf("%+v gives %s", test, got)
		}
	}
}
